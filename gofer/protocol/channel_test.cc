#include "gofer/protocol/channel.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "gofer/protocol/doorbell_fixture.h"
#include "gofer/protocol/gofer.pb.h"
#include "gofer/protocol/limits.h"

namespace cloister::gofer {
namespace {

// Both ends in this process, over one window that each has mapped for itself.
class ChannelTest : public testing::Test {
 protected:
  ChannelTest() {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    memory = *Windows::Make(1);
    auto mapped = Windows::Map(UniqueFd(dup(memory->fd())), 1);
    EXPECT_TRUE(mapped.ok()) << mapped.status();
    client = std::make_unique<ClientChannel>(UniqueFd(pair[0]), *mapped, 0);
    server = std::make_unique<ServerChannel>(UniqueFd(pair[1]), memory, 0);
  }
  // Answers every symbolic link that is asked for with its name, and every 16th with a descriptor too.
  void Serve() {
    for (;;) {
      Request request;
      const absl::Status received = server->Receive(&request, nullptr);
      if (!received.ok()) {
        EXPECT_TRUE(absl::IsOutOfRange(received)) << received;
        return;
      }
      ++served;
      Reply reply;
      reply.mutable_readlink()->set_target(request.symlink().target());
      const int fd = STDIN_FILENO;
      const bool with_fd = request.symlink().dir() % 16 == 0;
      ASSERT_TRUE(server->Send(reply, std::span(&fd, with_fd ? 1 : 0)).ok());
    }
  }
  void CallManyTimes() {
    std::mt19937 random(3);
    for (uint64_t i = 0; i < 3000; ++i) {
      Request request;
      request.mutable_symlink()->set_dir(i);
      request.mutable_symlink()->set_target(
          std::string(i % 100 == 0 ? 150'000 : random() % 300, static_cast<char>('a' + i % 26)));
      Reply reply;
      std::vector<UniqueFd> fds;
      const absl::Status done = client->Call(request, &reply, &fds);
      ASSERT_TRUE(done.ok()) << done;
      ASSERT_EQ(reply.readlink().target(), request.symlink().target());
      ASSERT_EQ(fds.size(), i % 16 == 0 ? 1u : 0u);
    }
  }
  // A client by the doorbell: `body` runs on a thread of its own, under the filter.
  std::thread Ringing(std::function<void()> body) {
    absl::Notification listening;
    std::thread thread([this, &listening, body = std::move(body)] {
      UniqueFd listener = InstallDoorbell();
      client->UseDoorbell();
      raw_listener = listener.get();
      server->ListenTo(std::move(listener));
      listening.Notify();
      body();
      client.reset();
    });
    listening.WaitForNotification();
    return thread;
  }
  static bool Fails(ClientChannel& channel) {
    Reply reply;
    std::vector<UniqueFd> fds;
    return !channel.Call(Request(), &reply, &fds).ok();
  }

  std::shared_ptr<Windows> memory;
  std::unique_ptr<ClientChannel> client;
  std::unique_ptr<ServerChannel> server;
  int raw_listener = -1;
  std::atomic<int> served{0};
};

TEST_F(ChannelTest, MessagesOfAllSizesGoByTheSocket) {
  std::thread serving([this] { Serve(); });
  CallManyTimes();
  client.reset();
  serving.join();
  EXPECT_EQ(served, 3000);
}

TEST_F(ChannelTest, MessagesOfAllSizesGoByTheDoorbell) {
  std::thread ringing = Ringing([this] { CallManyTimes(); });
  Serve();
  ringing.join();
  EXPECT_EQ(served, 3000);
}

TEST_F(ChannelTest, WhatDoesNotFitIsNotSent) {
  Request request;
  request.mutable_symlink()->set_target(std::string(kWindowBytes, 'x'));
  Reply reply;
  EXPECT_TRUE(absl::IsResourceExhausted(client->Call(request, &reply, nullptr)));
}

// A signal takes the caller out of the call while it is served: it rings again, and is served once.
TEST_F(ChannelTest, AnInterruptedCallIsServedOnce) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};  // without SA_RESTART
  struct sigaction before;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  std::atomic<bool> ok{false};
  std::thread ringing = Ringing([this, &ok] {
    Request request;
    request.mutable_symlink()->set_dir(16);
    request.mutable_symlink()->set_target("t");
    Reply reply;
    std::vector<UniqueFd> fds;
    ok = client->Call(request, &reply, &fds).ok() && reply.readlink().target() == "t" && fds.size() == 1;
  });
  const pthread_t caller = ringing.native_handle();
  Request request;
  ASSERT_TRUE(server->Receive(&request, nullptr).ok());
  pthread_kill(caller, SIGUSR1);
  Reply reply;
  reply.mutable_readlink()->set_target(request.symlink().target());
  const int fd = STDIN_FILENO;
  EXPECT_TRUE(server->Send(reply, std::span(&fd, 1)).ok());
  // It hangs up next: nothing is left to be served.
  EXPECT_TRUE(absl::IsOutOfRange(server->Receive(&request, nullptr)));
  ringing.join();
  EXPECT_TRUE(ok);
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(ChannelTest, CallsFailWhenTheServerHasGone) {
  std::thread ringing = Ringing([this] {
    EXPECT_TRUE(Fails(*client));  // under way
    EXPECT_TRUE(Fails(*client));
  });
  Request request;
  ASSERT_TRUE(server->Receive(&request, nullptr).ok());
  server.reset();
  ringing.join();
}

TEST_F(ChannelTest, CallsBySocketFailWhenTheServerHasGone) {
  std::thread calling([this] { EXPECT_TRUE(Fails(*client)); });
  Request request;
  ASSERT_TRUE(server->Receive(&request, nullptr).ok());
  server.reset();
  calling.join();
}

// ---- A peer gone bad ----

TEST_F(ChannelTest, AnswersThatMakeNoSenseFailTheCall) {
  constexpr int64_t kNoRecord = int64_t{1} << 32;
  const int64_t answers[] = {static_cast<int64_t>(kWindowBytes) + 1,
                             int64_t{1} << 31,
                             int64_t{1} << 62,
                             -1,
                             -4095,
                             kNoRecord,
                             kNoRecord | 4};
  std::thread ringing = Ringing([this, &answers] {
    for (const int64_t answer : answers) EXPECT_TRUE(Fails(*client)) << answer;
  });
  for (const int64_t answer : answers) {
    seccomp_notif call = {};
    ASSERT_EQ(ioctl(raw_listener, SECCOMP_IOCTL_NOTIF_RECV, &call), 0);
    seccomp_notif_resp response = {call.id, answer, 0, 0};
    ASSERT_EQ(ioctl(raw_listener, SECCOMP_IOCTL_NOTIF_SEND, &response), 0);
  }
  ringing.join();
}

TEST_F(ChannelTest, ARingOfNonsenseEndsTheServersPart) {
  std::thread ringing = Ringing([] {
    EXPECT_EQ(syscall(kDoorbellNr, kWindowBytes + 1, 1), -1);
    EXPECT_EQ(errno, ENOSYS);
  });
  Request request;
  EXPECT_TRUE(absl::IsInvalidArgument(server->Receive(&request, nullptr)));
  server.reset();
  ringing.join();
}

// The window changes while it is read and written: what arrives may be anything but a crash.
TEST_F(ChannelTest, WindowsThatChangeAreSurvived) {
  std::atomic<bool> stop{false};
  std::thread scribbler([this, &stop] {
    auto windows = Windows::Map(UniqueFd(dup(memory->fd())), 1);
    ASSERT_TRUE(windows.ok());
    std::mt19937 random(5);
    while (!stop) (*windows)->At(0)[random() % 64] = static_cast<std::byte>(random());
  });
  std::thread serving([this] {
    Request request;
    Reply reply;
    for (int i = 0; i < 2000; ++i) {
      const absl::Status received = server->Receive(&request, nullptr);
      if (absl::IsOutOfRange(received)) return;
      reply.mutable_walk()->add_nodes()->set_target(request.SerializeAsString().substr(0, 20));
      static_cast<void>(server->Send(reply, {}).ok());
      if (i % 50 == 0) reply.Clear();
    }
  });
  for (int i = 0; i < 2000; ++i) {
    Request request;
    for (int n = 0; n < 8; ++n) request.mutable_walk()->add_names("name");
    Reply reply;
    static_cast<void>(client->Call(request, &reply, nullptr).ok());
  }
  client.reset();
  serving.join();
  stop = true;
  scribbler.join();
}

TEST(WindowsTest, OnlySealedOnesOfTheRightSizeAreTaken) {
  const auto good = Windows::Make(2);
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(Windows::Map(UniqueFd(dup((*good)->fd())), 2).ok());
  EXPECT_FALSE(Windows::Map(UniqueFd(dup((*good)->fd())), 3).ok());
  EXPECT_FALSE(Windows::Map(UniqueFd(dup((*good)->fd())), 1).ok());
  EXPECT_NE(ftruncate((*good)->fd(), 0), 0);
  UniqueFd loose(memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(loose.get(), 2 * kWindowBytes), 0);
  EXPECT_FALSE(Windows::Map(UniqueFd(dup(loose.get())), 2).ok());
  ASSERT_EQ(fcntl(loose.get(), F_ADD_SEALS, F_SEAL_GROW), 0);
  EXPECT_FALSE(Windows::Map(std::move(loose), 2).ok());
  EXPECT_FALSE(Windows::Map(UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)), 2).ok());
}

}  // namespace
}  // namespace cloister::gofer
