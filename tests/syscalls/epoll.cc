#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// epoll(7).
namespace cloister::tests {
namespace {

TestFd NewEpoll() { return TestFd(epoll_create1(EPOLL_CLOEXEC)); }

int Control(const TestFd& epoll, int operation, int fd, uint32_t events, uint64_t data) {
  epoll_event event = {.events = events, .data = {.u64 = data}};
  return epoll_ctl(epoll.get(), operation, fd, &event);
}

int Add(const TestFd& epoll, const TestFd& fd, uint32_t events, uint64_t data = 0) {
  return Control(epoll, EPOLL_CTL_ADD, fd.get(), events, data);
}

// Events that are there within `timeout` milliseconds, ordered by their data.
std::vector<epoll_event> Wait(const TestFd& epoll, int timeout = 0) {
  std::vector<epoll_event> events(16);
  const int count = epoll_wait(epoll.get(), events.data(), 16, timeout);
  EXPECT_THAT(count, SyscallSucceeds());
  events.resize(count < 0 ? 0 : static_cast<size_t>(count));
  std::sort(events.begin(), events.end(),
            [](const auto& a, const auto& b) { return a.data.u64 < b.data.u64; });
  return events;
}

void Put(const TestFd& fd) { EXPECT_THAT(write(fd.get(), "x", 1), SyscallSucceedsWithValue(1)); }
void Take(const TestFd& fd) {
  char byte;
  EXPECT_THAT(read(fd.get(), &byte, 1), SyscallSucceedsWithValue(1));
}

TEST(Epoll, LevelTriggered) {
  const Pipe pipe;
  const TestFd epoll = NewEpoll();
  ASSERT_THAT(Add(epoll, pipe.read, EPOLLIN, 42), SyscallSucceeds());
  EXPECT_TRUE(Wait(epoll).empty());
  Put(pipe.write);
  for (int i = 0; i < 3; ++i) {
    const auto events = Wait(epoll);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].events, uint32_t{EPOLLIN});
    EXPECT_EQ(events[0].data.u64, 42u);
  }
  Take(pipe.read);
  EXPECT_TRUE(Wait(epoll).empty());
}

TEST(Epoll, EdgeTriggered) {
  const Pipe pipe;
  const TestFd epoll = NewEpoll();
  ASSERT_THAT(Add(epoll, pipe.read, EPOLLIN | EPOLLET), SyscallSucceeds());
  Put(pipe.write);
  EXPECT_EQ(Wait(epoll).size(), 1u);
  EXPECT_EQ(Wait(epoll).size(), 0u);
  Put(pipe.write);  // a new edge though the pipe was readable already
  EXPECT_EQ(Wait(epoll).size(), 1u);
  Take(pipe.read);
  EXPECT_EQ(Wait(epoll).size(), 0u);
}

TEST(Epoll, EdgeIsThereWhenAddedReady) {
  const Pipe pipe;
  const TestFd epoll = NewEpoll();
  Put(pipe.write);
  ASSERT_THAT(Add(epoll, pipe.read, EPOLLIN | EPOLLET), SyscallSucceeds());
  EXPECT_EQ(Wait(epoll).size(), 1u);
  EXPECT_EQ(Wait(epoll).size(), 0u);
  ASSERT_THAT(Control(epoll, EPOLL_CTL_MOD, pipe.read.get(), EPOLLIN | EPOLLET, 0), SyscallSucceeds());
  EXPECT_EQ(Wait(epoll).size(), 1u);
}

TEST(Epoll, OneShot) {
  const Pipe pipe;
  const TestFd epoll = NewEpoll();
  ASSERT_THAT(Add(epoll, pipe.read, EPOLLIN | EPOLLONESHOT), SyscallSucceeds());
  Put(pipe.write);
  EXPECT_EQ(Wait(epoll).size(), 1u);
  Put(pipe.write);
  EXPECT_EQ(Wait(epoll).size(), 0u);
  ASSERT_THAT(Control(epoll, EPOLL_CTL_MOD, pipe.read.get(), EPOLLIN | EPOLLONESHOT, 0), SyscallSucceeds());
  EXPECT_EQ(Wait(epoll).size(), 1u);
}

TEST(Epoll, ControlErrors) {
  const Pipe pipe;
  const TestFd epoll = NewEpoll();
  const TempDir dir;
  const TestFd file = Open(dir.WithFile("f"), O_RDWR);
  ASSERT_THAT(Add(epoll, pipe.read, EPOLLIN), SyscallSucceeds());
  EXPECT_THAT(Add(epoll, pipe.read, EPOLLIN), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(Control(epoll, EPOLL_CTL_MOD, pipe.write.get(), EPOLLIN, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Control(epoll, EPOLL_CTL_DEL, pipe.write.get(), 0, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Add(epoll, file, EPOLLIN), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(Add(epoll, epoll, EPOLLIN), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Add(pipe.read, pipe.write, EPOLLIN), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Control(epoll, EPOLL_CTL_ADD, -1, EPOLLIN, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(Control(epoll, 77, pipe.read.get(), EPOLLIN, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, pipe.write.get(), BadPointer<epoll_event>()),
              SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(epoll_create1(1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(epoll_create(0), SyscallFailsWithErrno(EINVAL));
}

TEST(Epoll, WaitErrors) {
  const TestFd epoll = NewEpoll();
  const Pipe pipe;
  epoll_event event;
  EXPECT_THAT(epoll_wait(epoll.get(), &event, 0, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_epoll_wait, epoll.get(), &event, -1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(epoll_wait(-1, &event, 1, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(epoll_wait(pipe.read.get(), &event, 1, 0), SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(Add(epoll, pipe.write, EPOLLOUT), SyscallSucceeds());
  EXPECT_THAT(epoll_wait(epoll.get(), BadPointer<epoll_event>(), 1, 0), SyscallFailsWithErrno(EFAULT));
}

TEST(Epoll, HangupIsToldUnasked) {
  Pipe pipe;
  const TestFd epoll = NewEpoll();
  ASSERT_THAT(Add(epoll, pipe.read, 0), SyscallSucceeds());
  Put(pipe.write);
  EXPECT_TRUE(Wait(epoll).empty());
  pipe.write.reset();
  const auto events = Wait(epoll);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].events, uint32_t{EPOLLHUP});
}

TEST(Epoll, PeerShutdown) {
  int ends[2];
  ASSERT_THAT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), SyscallSucceeds());
  const TestFd a(ends[0]), b(ends[1]);
  const TestFd epoll = NewEpoll();
  ASSERT_THAT(Add(epoll, a, EPOLLIN | EPOLLRDHUP), SyscallSucceeds());
  ASSERT_THAT(shutdown(b.get(), SHUT_WR), SyscallSucceeds());
  const auto events = Wait(epoll);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].events, uint32_t{EPOLLIN | EPOLLRDHUP});
}

TEST(Epoll, CloseOfTheLastDescriptorRemoves) {
  Pipe pipe;
  const TestFd epoll = NewEpoll();
  ASSERT_THAT(Add(epoll, pipe.read, EPOLLIN, 5), SyscallSucceeds());
  Put(pipe.write);
  TestFd duplicate(dup(pipe.read.get()));
  pipe.read.reset();
  EXPECT_EQ(Wait(epoll).size(), 1u);  // epoll(7), Q6: the description lives on
  duplicate.reset();
  EXPECT_EQ(Wait(epoll).size(), 0u);
}

TEST(Epoll, DuplicateCanBeAddedBeside) {
  const Pipe pipe;
  const TestFd epoll = NewEpoll();
  const TestFd duplicate(dup(pipe.read.get()));
  ASSERT_THAT(Add(epoll, pipe.read, EPOLLIN, 1), SyscallSucceeds());
  ASSERT_THAT(Add(epoll, duplicate, EPOLLIN, 2), SyscallSucceeds());
  Put(pipe.write);
  const auto events = Wait(epoll);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].data.u64, 1u);
  EXPECT_EQ(events[1].data.u64, 2u);
}

TEST(Epoll, Nested) {
  const Pipe pipe;
  const TestFd inner = NewEpoll(), outer = NewEpoll();
  ASSERT_THAT(Add(inner, pipe.read, EPOLLIN), SyscallSucceeds());
  ASSERT_THAT(Add(outer, inner, EPOLLIN, 9), SyscallSucceeds());
  EXPECT_TRUE(Wait(outer).empty());
  Put(pipe.write);
  const auto events = Wait(outer);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].data.u64, 9u);
  Take(pipe.read);
  EXPECT_TRUE(Wait(outer).empty());
  EXPECT_THAT(Add(inner, outer, EPOLLIN), SyscallFailsWithErrno(ELOOP));
}

TEST(Epoll, AllReadyOnesGetTheirTurn) {
  constexpr uint64_t kPipes = 8;
  std::vector<Pipe> pipes(kPipes);
  const TestFd epoll = NewEpoll();
  for (uint64_t i = 0; i < kPipes; ++i) {
    ASSERT_THAT(Add(epoll, pipes[i].read, EPOLLIN, i), SyscallSucceeds());
    Put(pipes[i].write);
  }
  uint64_t seen = 0;
  for (uint64_t i = 0; i < kPipes; ++i) {
    epoll_event event;
    ASSERT_THAT(epoll_wait(epoll.get(), &event, 1, 0), SyscallSucceedsWithValue(1));
    seen |= uint64_t{1} << event.data.u64;
  }
  EXPECT_EQ(seen, (uint64_t{1} << kPipes) - 1);
}

TEST(Epoll, WaitingIsWoken) {
  const TestFd epoll = NewEpoll(), event(eventfd(0, 0));
  ASSERT_THAT(Add(epoll, event, EPOLLIN), SyscallSucceeds());
  size_t got = 0;
  ScopedThread waiter([&] { got = Wait(epoll, 20000).size(); });
  waiter.tid();
  EXPECT_THAT(eventfd_write(event.get(), 1), SyscallSucceeds());
  waiter.Join();
  EXPECT_EQ(got, 1u);
}

TEST(Epoll, AddWakesAWaiter) {
  const TestFd epoll = NewEpoll(), event(eventfd(1, 0));
  size_t got = 0;
  ScopedThread waiter([&] { got = Wait(epoll, 20000).size(); });
  waiter.tid();
  ASSERT_THAT(Add(epoll, event, EPOLLIN), SyscallSucceeds());
  waiter.Join();
  EXPECT_EQ(got, 1u);
}

TEST(Epoll, ExclusiveWakesAtLeastOne) {
  const TestFd event(eventfd(0, EFD_NONBLOCK)), a = NewEpoll(), b = NewEpoll();
  ASSERT_THAT(Add(a, event, EPOLLIN | EPOLLEXCLUSIVE), SyscallSucceeds());
  ASSERT_THAT(Add(b, event, EPOLLIN | EPOLLEXCLUSIVE), SyscallSucceeds());
  EXPECT_THAT(Control(a, EPOLL_CTL_MOD, event.get(), EPOLLIN, 0), SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(eventfd_write(event.get(), 1), SyscallSucceeds());
  EXPECT_GE(Wait(a).size() + Wait(b).size(), 1u);
}

TEST(Epoll, Timeouts) {
  const TestFd epoll = NewEpoll();
  const int64_t start = Now();
  EXPECT_TRUE(Wait(epoll, 10).empty());
  EXPECT_GE(Now() - start, 10 * kMillisecond);
  epoll_event event;
  const timespec fine = ToTimespec(3 * kMillisecond), wrong = {.tv_sec = 0, .tv_nsec = -1};
  EXPECT_THAT(syscall(SYS_epoll_pwait2, epoll.get(), &event, 1, &fine, nullptr, 0),
              SyscallSucceedsWithValue(0));
  EXPECT_THAT(syscall(SYS_epoll_pwait2, epoll.get(), &event, 1, &wrong, nullptr, 0),
              SyscallFailsWithErrno(EINVAL));
}

TEST(Epoll, PwaitMaskLetsTheSignalIn) {
  static volatile int handled;
  handled = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { handled = handled + 1; });
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const TestFd epoll = NewEpoll();
  ASSERT_THAT(raise(SIGUSR1), SyscallSucceeds());
  EXPECT_EQ(handled, 0);
  epoll_event event;
  const sigset_t none = SignalSet({});
  EXPECT_THAT(epoll_pwait(epoll.get(), &event, 1, 10000, &none), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(handled, 1);
  EXPECT_THAT(syscall(SYS_epoll_pwait, epoll.get(), &event, 1, 0, &none, 4), SyscallFailsWithErrno(EINVAL));
}

TEST(Epoll, NeverRestarted) {
  const TestFd epoll = NewEpoll();
  const ScopedSigaction action(SIGUSR1, +[](int) {}, SA_RESTART);
  std::atomic<bool> done = false;
  int error = 0;
  ScopedThread waiter([&] {
    epoll_event event;
    if (epoll_wait(epoll.get(), &event, 1, -1) < 0) error = errno;
    done = true;
  });
  EXPECT_TRUE(YieldUntil([&] { return tgkill(getpid(), waiter.tid(), SIGUSR1) != 0 || done.load(); }));
  waiter.Join();
  EXPECT_EQ(error, EINTR);
}

}  // namespace
}  // namespace cloister::tests
