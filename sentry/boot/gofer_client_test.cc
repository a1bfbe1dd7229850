// The client and a gofer's server, with the doorbell between them. Here because it needs both sides.

#include <fcntl.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gofer/protocol/doorbell_fixture.h"
#include "gofer/server/server.h"
#include "gofer/tree/temp_tree.h"
#include "sentry/fs/gofer/client.h"

namespace cloister::goferfs {
namespace {

using gofer::Reply;
using gofer::Request;

class GoferClientTest : public testing::Test {
 protected:
  GoferClientTest() {
    for (int i = 0; i < kFiles; ++i)
      tree.Write("f" + std::to_string(i), std::string(static_cast<size_t>(i), 'x'));
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    std::vector<Ref<gofer::HostNode>> attach;
    attach.push_back(
        *gofer::HostNode::Attach(UniqueFd(open(tree.path().c_str(), O_PATH | O_CLOEXEC)), {0, true}));
    server = *gofer::Server::Make(UniqueFd(ends[0]), std::move(attach), {.connections = 2});
    runner = std::thread([this] { static_cast<void>(server->Run()); });
    client = *GoferClient::Connect(UniqueFd(ends[1]), [this] { ++lost; });
  }
  ~GoferClientTest() override {
    client.reset();
    if (runner.joinable()) runner.join();
  }
  uint64_t Attach() {
    Request request;
    Reply reply;
    request.mutable_attach();
    EXPECT_TRUE(client->Call(request, &reply).ok());
    return reply.attach().node().id();
  }
  // Looks at all files, and opens each.
  void LookAtAll(uint64_t root) {
    for (int i = 0; i < kFiles; ++i) {
      Request request;
      Reply reply;
      UniqueFd fd;
      request.mutable_walk()->set_dir(root);
      request.mutable_walk()->add_names("f" + std::to_string(i));
      request.mutable_walk()->set_open_last(true);
      ASSERT_TRUE(client->Call(request, &reply, &fd).ok());
      ASSERT_EQ(reply.walk().nodes_size(), 1);
      ASSERT_EQ(reply.walk().nodes(0).attr().size(), static_cast<uint64_t>(i));
      ASSERT_TRUE(fd.ok());
      client->Forget(reply.walk().nodes(0).id());
    }
  }

  static constexpr int kFiles = 200;
  gofer::TempTree tree;
  std::unique_ptr<gofer::Server> server;
  std::thread runner;
  Ref<GoferClient> client;
  std::atomic<int> lost{0};
};

TEST_F(GoferClientTest, CallsGoByTheDoorbellOnceItIsThere) {
  const uint64_t root = Attach();
  EXPECT_EQ(client->rings(), 0u);
  std::thread ringing([this, root] {
    ASSERT_TRUE(client->UseDoorbell(gofer::InstallDoorbell()).ok());
    const uint64_t before = client->calls();
    LookAtAll(root);
    EXPECT_EQ(client->rings(), client->calls() - before) << "one thread never finds it taken";
    client.reset();
  });
  ringing.join();
}

TEST_F(GoferClientTest, ThreadsShareTheConnections) {
  const uint64_t root = Attach();
  std::thread first([this, root] {
    ASSERT_TRUE(client->UseDoorbell(gofer::InstallDoorbell()).ok());
    std::vector<std::thread> threads;  // under the filter, as all that it makes
    for (int i = 0; i < 4; ++i) threads.emplace_back([this, root] { LookAtAll(root); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_GT(client->rings(), 0u);
    // Nothing is held but what waits to be forgotten.
    EXPECT_LT(server->table().size(), 70u);
    client.reset();
  });
  first.join();
  EXPECT_EQ(lost, 0);
}

TEST_F(GoferClientTest, ForgottenNodesGoWithTheNextCall) {
  const uint64_t root = Attach();
  const uint64_t other = Attach();
  const uint64_t calls = client->calls();
  client->Forget(other);
  EXPECT_EQ(client->calls(), calls);
  EXPECT_EQ(server->table().size(), 2u);
  const uint64_t third = Attach();
  EXPECT_EQ(server->table().size(), 2u);
  client->Forget(third, /*now=*/true);
  EXPECT_EQ(server->table().size(), 1u);
  EXPECT_NE(root, third);
}

}  // namespace
}  // namespace cloister::goferfs
