#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <vector>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// poll(2), ppoll(2), select(2), pselect6(2).
namespace cloister::tests {
namespace {

pollfd Entry(int fd, short events) { return {.fd = fd, .events = events, .revents = 0x7fff}; }

fd_set SetOf(std::initializer_list<int> fds) {
  fd_set set;
  FD_ZERO(&set);
  for (int fd : fds) FD_SET(fd, &set);
  return set;
}

TEST(Poll, ReportsEachEntry) {
  const Pipe empty, full;
  ASSERT_THAT(write(full.write.get(), "x", 1), SyscallSucceeds());
  pollfd entries[] = {Entry(empty.read.get(), POLLIN), Entry(full.read.get(), POLLIN),
                      Entry(empty.write.get(), POLLOUT), Entry(-1, POLLIN), Entry(1 << 20, POLLIN)};
  EXPECT_THAT(poll(entries, 5, 0), SyscallSucceedsWithValue(3));
  EXPECT_EQ(entries[0].revents, 0);
  EXPECT_EQ(entries[1].revents, POLLIN);
  EXPECT_EQ(entries[2].revents, POLLOUT);
  EXPECT_EQ(entries[3].revents, 0);
  EXPECT_EQ(entries[4].revents, POLLNVAL);
}

TEST(Poll, RegularFilesAreAlwaysReady) {
  const TempDir dir;
  const TestFd file = Open(dir.WithFile("f"), O_RDWR);
  pollfd entry = Entry(file.get(), POLLIN | POLLOUT | POLLRDNORM);
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(entry.revents, POLLIN | POLLOUT | POLLRDNORM);
}

TEST(Poll, SocketAtEndOfStream) {
  int ends[2];
  ASSERT_THAT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), SyscallSucceeds());
  const TestFd a(ends[0]);
  TestFd b(ends[1]);
  pollfd entry = Entry(a.get(), POLLIN | POLLRDHUP);
  ASSERT_THAT(shutdown(b.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(entry.revents, POLLIN | POLLRDHUP);
  b.reset();
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(entry.revents, POLLIN | POLLRDHUP | POLLHUP);
}

TEST(Poll, WokenByAWrite) {
  const Pipe pipe;
  pollfd entry = Entry(pipe.read.get(), POLLIN);
  ScopedThread writer([&] { EXPECT_EQ(write(pipe.write.get(), "x", 1), 1); });
  EXPECT_THAT(poll(&entry, 1, -1), SyscallSucceedsWithValue(1));
}

TEST(Poll, WokenByHangup) {
  Pipe pipe;
  pollfd entry = Entry(pipe.read.get(), 0);
  ScopedThread closer([&] { pipe.write.reset(); });
  EXPECT_THAT(poll(&entry, 1, -1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(entry.revents, POLLHUP);
}

TEST(Poll, Timeout) {
  const Pipe pipe;
  pollfd entry = Entry(pipe.read.get(), POLLIN);
  const int64_t start = Now();
  EXPECT_THAT(poll(&entry, 1, 10), SyscallSucceedsWithValue(0));
  EXPECT_GE(Now() - start, 10 * kMillisecond);
  EXPECT_EQ(entry.revents, 0);
  EXPECT_THAT(poll(nullptr, 0, 1), SyscallSucceedsWithValue(0));
}

TEST(Poll, Errors) {
  EXPECT_THAT(poll(BadPointer<pollfd>(), 1, 0), SyscallFailsWithErrno(EFAULT));
  rlimit limit;
  ASSERT_THAT(getrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
  EXPECT_THAT(poll(BadPointer<pollfd>(), limit.rlim_cur + 1, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(Ppoll, MaskAppliesWhileWaiting) {
  static volatile int handled;
  handled = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { handled = handled + 1; });
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  ASSERT_THAT(raise(SIGUSR1), SyscallSucceeds());
  const sigset_t none = SignalSet({});
  const timespec timeout = {.tv_sec = 10, .tv_nsec = 0};
  EXPECT_THAT(ppoll(nullptr, 0, &timeout, &none), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(handled, 1);
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  EXPECT_EQ(sigismember(&now, SIGUSR1), 1);
}

TEST(Ppoll, ReadyBeatsAPendingSignal) {
  static volatile int handled;
  handled = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { handled = handled + 1; });
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const Pipe pipe;
  pollfd entry = Entry(pipe.write.get(), POLLOUT);
  ASSERT_THAT(raise(SIGUSR1), SyscallSucceeds());
  const sigset_t none = SignalSet({});
  EXPECT_THAT(ppoll(&entry, 1, nullptr, &none), SyscallSucceedsWithValue(1));
  EXPECT_EQ(handled, 0);  // the old mask is back before the signal is looked at
  const sigset_t usr1 = SignalSet({SIGUSR1});
  EXPECT_THAT(sigtimedwait(&usr1, nullptr, nullptr), SyscallSucceedsWithValue(SIGUSR1));
}

TEST(Ppoll, RemainingTimeAndErrors) {
  timespec timeout = ToTimespec(2 * kMillisecond);
  EXPECT_THAT(syscall(SYS_ppoll, nullptr, 0, &timeout, nullptr, 8), SyscallSucceedsWithValue(0));
  EXPECT_EQ(Nanoseconds(timeout), 0);
  timeout = {.tv_sec = 0, .tv_nsec = kSecond};
  EXPECT_THAT(syscall(SYS_ppoll, nullptr, 0, &timeout, nullptr, 8), SyscallFailsWithErrno(EINVAL));
  const sigset_t none = SignalSet({});
  timeout = {};
  EXPECT_THAT(syscall(SYS_ppoll, nullptr, 0, &timeout, &none, 7), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_ppoll, nullptr, 0, BadPointer(), nullptr, 8), SyscallFailsWithErrno(EFAULT));
}

TEST(Select, SetsAreAnswers) {
  const Pipe a, b;
  ASSERT_THAT(write(a.write.get(), "x", 1), SyscallSucceeds());
  fd_set readers = SetOf({a.read.get(), b.read.get()}), writers = SetOf({b.write.get()});
  timeval zero = {};
  EXPECT_THAT(select(FD_SETSIZE, &readers, &writers, nullptr, &zero), SyscallSucceedsWithValue(2));
  EXPECT_TRUE(FD_ISSET(a.read.get(), &readers));
  EXPECT_FALSE(FD_ISSET(b.read.get(), &readers));
  EXPECT_TRUE(FD_ISSET(b.write.get(), &writers));
}

TEST(Select, OnlyTheFirstAreLookedAt) {
  const Pipe pipe;
  fd_set writers = SetOf({pipe.write.get()});
  timeval zero = {};
  EXPECT_THAT(select(pipe.write.get(), nullptr, &writers, nullptr, &zero), SyscallSucceedsWithValue(0));
}

TEST(Select, EndOfFileIsReadable) {
  Pipe pipe;
  pipe.write.reset();
  fd_set readers = SetOf({pipe.read.get()});
  timeval zero = {};
  EXPECT_THAT(select(pipe.read.get() + 1, &readers, nullptr, nullptr, &zero), SyscallSucceedsWithValue(1));
}

TEST(Select, Errors) {
  timeval zero = {}, wrong = {.tv_sec = -1, .tv_usec = 0};
  fd_set closed = SetOf({900});
  EXPECT_THAT(select(-1, nullptr, nullptr, nullptr, &zero), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(select(0, nullptr, nullptr, nullptr, &wrong), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_select, 8, BadPointer(), nullptr, nullptr, &zero), SyscallFailsWithErrno(EFAULT));
  // A number beyond the table is not looked at; a closed one inside it is an error.
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(dup2(0, 901) == 901);
                CHILD_CHECK(select(902, &closed, nullptr, nullptr, &zero) == -1 && errno == EBADF);
              }),
              ExitedWith(0));
}

TEST(Select, TimeLeftIsWritten) {
  const Pipe pipe;
  fd_set writers = SetOf({pipe.write.get()});
  timeval timeout = {.tv_sec = 100, .tv_usec = 0};
  EXPECT_THAT(syscall(SYS_select, pipe.write.get() + 1, nullptr, &writers, nullptr, &timeout),
              SyscallSucceedsWithValue(1));
  EXPECT_GE(timeout.tv_sec, 90);
  timeout = {.tv_sec = 0, .tv_usec = 2000};
  EXPECT_THAT(syscall(SYS_select, 0, nullptr, nullptr, nullptr, &timeout), SyscallSucceedsWithValue(0));
  EXPECT_EQ(timeout.tv_usec, 0);
}

TEST(Pselect, MaskAndImmutableTimeout) {
  static volatile int handled;
  handled = 0;
  const ScopedSigaction action(SIGUSR2, +[](int) { handled = handled + 1; });
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR2});
  ASSERT_THAT(raise(SIGUSR2), SyscallSucceeds());
  const sigset_t none = SignalSet({});
  const timespec timeout = {.tv_sec = 10, .tv_nsec = 0};
  EXPECT_THAT(pselect(0, nullptr, nullptr, nullptr, &timeout, &none), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(timeout.tv_sec, 10);
}

TEST(Poll, ManyDescriptors) {
  std::vector<Pipe> pipes(100);
  std::vector<pollfd> entries;
  for (const Pipe& pipe : pipes) entries.push_back(Entry(pipe.read.get(), POLLIN));
  ASSERT_THAT(write(pipes[77].write.get(), "x", 1), SyscallSucceeds());
  EXPECT_THAT(poll(entries.data(), entries.size(), -1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(entries[77].revents, POLLIN);
}

}  // namespace
}  // namespace cloister::tests
