#ifndef CLOISTER_GOFER_SERVER_SERVER_FIXTURE_H_
#define CLOISTER_GOFER_SERVER_SERVER_FIXTURE_H_

#include <fcntl.h>
#include <sys/socket.h>

#include <memory>
#include <thread>
#include <utility>

#include "gofer/server/peer.h"
#include "gofer/server/server.h"
#include "gofer/tree/temp_tree.h"

namespace cloister::gofer {

// For tests: a server in this process over a tree of its own. Attach point 0 is writable, 1 is not.
class ServerTest : public testing::Test {
 protected:
  void Start(const Server::Options& options) {
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    std::vector<Ref<HostNode>> attach;
    for (const bool readonly : {false, true}) {
      UniqueFd fd(open(tree.path().c_str(), O_PATH | O_CLOEXEC));
      const AttachOrigin origin{static_cast<uint32_t>(attach.size()), readonly};
      attach.push_back(*HostNode::Attach(std::move(fd), origin));
    }
    auto made = Server::Make(UniqueFd(pair[0]), std::move(attach), options);
    ASSERT_TRUE(made.ok()) << made.status();
    server = *std::move(made);
    runner = std::thread([this] { ended = server->Run(); });
    peer = Peer::Open(UniqueFd(pair[1]));
    ASSERT_NE(peer, nullptr);
  }
  void Stop() {
    peer.reset();
    if (runner.joinable()) runner.join();
    server.reset();
  }
  void TearDown() override { Stop(); }

  TempTree tree;
  std::unique_ptr<Server> server;
  std::unique_ptr<Peer> peer;
  std::thread runner;
  absl::Status ended;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_SERVER_SERVER_FIXTURE_H_
