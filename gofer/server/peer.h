#ifndef CLOISTER_GOFER_SERVER_PEER_H_
#define CLOISTER_GOFER_SERVER_PEER_H_

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gofer/protocol/gofer.pb.h"
#include "gofer/protocol/welcome.h"
#include "gtest/gtest.h"

namespace cloister::gofer {

// For tests: the sentry's end of a connection, without any of the sentry's manners.
class Peer {
 public:
  explicit Peer(std::unique_ptr<ClientChannel> channel) : channel_(std::move(channel)) {}
  // Connection 0, once it is welcomed; further ones are in others.
  static std::unique_ptr<Peer> Open(UniqueFd socket) {
    const int raw = socket.get();
    absl::StatusOr<Welcomed> welcomed = ReceiveWelcome(std::move(socket));
    EXPECT_TRUE(welcomed.ok()) << welcomed.status();
    if (!welcomed.ok()) return nullptr;
    auto peer = std::make_unique<Peer>(std::move(welcomed->channels[0]));
    peer->raw = raw;
    peer->welcome = welcomed->welcome;
    for (size_t i = 1; i < welcomed->channels.size(); ++i) {
      peer->others.push_back(std::make_unique<Peer>(std::move(welcomed->channels[i])));
    }
    return peer;
  }

  // The reply; fds then holds what came with it.
  Reply Call(const Request& request, int gift = -1) {
    fds.clear();
    Reply reply;
    const absl::Status done = channel_->Call(request, &reply, &fds, gift);
    EXPECT_TRUE(done.ok()) << done;
    return reply;
  }
  // Whether the server hangs up on it.
  bool IsRefused(const Request& request) {
    Reply reply;
    return !channel_->Call(request, &reply, nullptr).ok();
  }

  uint64_t Attach(uint32_t index = 0) {
    Request request;
    request.mutable_attach()->set_index(index);
    return Call(request).attach().node().id();
  }
  Reply Walk(uint64_t dir, std::initializer_list<std::string> names, bool open_last = false, int flags = 0) {
    Request request;
    WalkRequest* walk = request.mutable_walk();
    walk->set_dir(dir);
    for (const std::string& name : names) walk->add_names(name);
    walk->set_open_last(open_last);
    walk->set_open_flags(static_cast<uint32_t>(flags));
    return Call(request);
  }

  std::vector<UniqueFd> fds;
  std::vector<std::unique_ptr<Peer>> others;
  Welcome welcome;
  int raw = -1;  // connection 0's socket, for what no client would send

  ClientChannel& channel() { return *channel_; }

 private:
  std::unique_ptr<ClientChannel> channel_;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_SERVER_PEER_H_
