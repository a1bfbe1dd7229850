#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <vector>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// signalfd(2).
namespace cloister::tests {
namespace {

TestFd NewSignalFd(std::initializer_list<int> signals, int flags = 0) {
  const sigset_t set = SignalSet(signals);
  return TestFd(signalfd(-1, &set, flags));
}

signalfd_siginfo Take(const TestFd& fd) {
  signalfd_siginfo info = {};
  EXPECT_THAT(read(fd.get(), &info, sizeof info), SyscallSucceedsWithValue(ssize_t(sizeof info)));
  return info;
}

TEST(SignalFd, SaysWhoSent) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const TestFd fd = NewSignalFd({SIGUSR1});
  ASSERT_THAT(kill(getpid(), SIGUSR1), SyscallSucceeds());
  const signalfd_siginfo info = Take(fd);
  EXPECT_EQ(info.ssi_signo, uint32_t{SIGUSR1});
  EXPECT_EQ(info.ssi_code, SI_USER);
  EXPECT_EQ(info.ssi_pid, uint32_t(getpid()));
  EXPECT_EQ(info.ssi_uid, getuid());
}

TEST(SignalFd, QueuedValues) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGRTMIN});
  const TestFd fd = NewSignalFd({SIGRTMIN});
  for (int i = 0; i < 3; ++i)
    ASSERT_THAT(sigqueue(getpid(), SIGRTMIN, {.sival_int = i + 40}), SyscallSucceeds());
  std::vector<signalfd_siginfo> infos(5);
  EXPECT_THAT(read(fd.get(), infos.data(), 5 * sizeof infos[0]),
              SyscallSucceedsWithValue(3 * ssize_t(sizeof infos[0])));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(infos[size_t(i)].ssi_code, SI_QUEUE);
    EXPECT_EQ(infos[size_t(i)].ssi_int, i + 40);
  }
}

TEST(SignalFd, NonblockingAndPoll) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR2});
  const TestFd fd = NewSignalFd({SIGUSR2}, SFD_NONBLOCK | SFD_CLOEXEC);
  signalfd_siginfo info;
  EXPECT_THAT(read(fd.get(), &info, sizeof info), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  pollfd entry = {.fd = fd.get(), .events = POLLIN | POLLOUT, .revents = 0};
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(0));
  ASSERT_THAT(raise(SIGUSR2), SyscallSucceeds());
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(entry.revents, POLLIN);
  EXPECT_EQ(Take(fd).ssi_code, SI_TKILL);
}

TEST(SignalFd, TakesAwayThePendingSignal) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const TestFd fd = NewSignalFd({SIGUSR1});
  ASSERT_THAT(raise(SIGUSR1), SyscallSucceeds());
  Take(fd);
  sigset_t pending;
  ASSERT_THAT(sigpending(&pending), SyscallSucceeds());
  EXPECT_EQ(sigismember(&pending, SIGUSR1), 0);
}

TEST(SignalFd, MaskCanChange) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1, SIGUSR2});
  const TestFd fd = NewSignalFd({SIGUSR1}, SFD_NONBLOCK);
  ASSERT_THAT(raise(SIGUSR2), SyscallSucceeds());
  signalfd_siginfo info;
  EXPECT_THAT(read(fd.get(), &info, sizeof info), SyscallFailsWithErrno(EAGAIN));
  const sigset_t other = SignalSet({SIGUSR2});
  EXPECT_THAT(signalfd(fd.get(), &other, 0), SyscallSucceedsWithValue(fd.get()));
  EXPECT_EQ(Take(fd).ssi_signo, uint32_t{SIGUSR2});
}

TEST(SignalFd, BlockedReaderIsWoken) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const TestFd fd = NewSignalFd({SIGUSR1});
  uint32_t got = 0;
  ScopedThread reader([&] { got = Take(fd).ssi_signo; });
  reader.tid();
  ASSERT_THAT(kill(getpid(), SIGUSR1), SyscallSucceeds());
  reader.Join();
  EXPECT_EQ(got, uint32_t{SIGUSR1});
}

TEST(SignalFd, EndOfAChild) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGCHLD});
  const TestFd fd = NewSignalFd({SIGCHLD});
  Child child([] { _exit(7); });
  const signalfd_siginfo info = Take(fd);
  EXPECT_EQ(info.ssi_signo, uint32_t{SIGCHLD});
  EXPECT_EQ(info.ssi_code, CLD_EXITED);
  EXPECT_EQ(info.ssi_status, 7);
  EXPECT_EQ(info.ssi_pid, uint32_t(child.pid()));
}

TEST(SignalFd, ReadsTheReadersSignals) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const TestFd fd = NewSignalFd({SIGUSR1}, SFD_NONBLOCK);
  ASSERT_THAT(raise(SIGUSR1), SyscallSucceeds());
  EXPECT_THAT(InChild([&] {
                signalfd_siginfo info;
                CHILD_CHECK(read(fd.get(), &info, sizeof info) == -1 && errno == EAGAIN);
              }),
              ExitedWith(0));
  EXPECT_EQ(Take(fd).ssi_signo, uint32_t{SIGUSR1});
}

TEST(SignalFd, Errors) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const sigset_t set = SignalSet({SIGUSR1});
  const TestFd fd = NewSignalFd({SIGUSR1});
  const Pipe pipe;
  EXPECT_THAT(signalfd(-1, &set, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(signalfd(pipe.read.get(), &set, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(signalfd(1 << 20, &set, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(signalfd(-1, BadPointer<sigset_t>(), 0), SyscallFailsWithErrno(EFAULT));
  char small[16];
  EXPECT_THAT(read(fd.get(), small, sizeof small), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(write(fd.get(), small, sizeof small), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace cloister::tests
