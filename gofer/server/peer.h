#ifndef CLOISTER_GOFER_SERVER_PEER_H_
#define CLOISTER_GOFER_SERVER_PEER_H_

#include <memory>
#include <string>
#include <vector>

#include "gofer/protocol/channel.h"
#include "gofer/protocol/gofer.pb.h"
#include "gofer/protocol/limits.h"
#include "gtest/gtest.h"

namespace cloister::gofer {

// For tests: the sentry's end of a connection, without any of the sentry's manners.
class Peer {
 public:
  explicit Peer(UniqueFd socket) : raw(socket.get()), channel_(std::move(socket), kMaxReplyBytes) {}

  // The reply; fds then holds what came with it.
  Reply Call(const Request& request) {
    fds.clear();
    EXPECT_TRUE(channel_.Send(request).ok());
    Reply reply;
    const absl::Status received = channel_.Receive(&reply, &fds);
    EXPECT_TRUE(received.ok()) << received;
    return reply;
  }
  // Whether the server has hung up.
  bool AtEnd() {
    Reply reply;
    return !channel_.Receive(&reply, nullptr).ok();
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
  const int raw;  // the socket, for what no client would send

 private:
  Channel channel_;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_SERVER_PEER_H_
