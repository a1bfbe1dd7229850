#include "tests/util/signals.h"

#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// signal(7): sigaction(2), sigprocmask(2), kill(2), sigqueue(3), sigtimedwait(2), sigsuspend(2).
namespace cloister::tests {
namespace {

std::atomic<int> handled;
std::vector<int> order;
siginfo_t last_info;

void Count(int) { ++handled; }
void Keep(int, siginfo_t* info, void*) {
  last_info = *info;
  ++handled;
}

class SignalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    handled = 0;
    order.clear();
    last_info = {};
  }
};

bool IsBlocked(int signal) {
  sigset_t set;
  pthread_sigmask(SIG_SETMASK, nullptr, &set);
  return sigismember(&set, signal) == 1;
}

bool IsPending(int signal) {
  sigset_t set;
  sigpending(&set);
  return sigismember(&set, signal) == 1;
}

TEST_F(SignalTest, InfoOfKill) {
  const ScopedSigaction action(SIGUSR1, Keep);
  ASSERT_THAT(kill(getpid(), SIGUSR1), SyscallSucceeds());
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(last_info.si_signo, SIGUSR1);
  EXPECT_EQ(last_info.si_code, SI_USER);
  EXPECT_EQ(last_info.si_pid, getpid());
  EXPECT_EQ(last_info.si_uid, getuid());
  EXPECT_EQ(last_info.si_errno, 0);
}

TEST_F(SignalTest, InfoOfQueuedValues) {
  const ScopedSigaction action(SIGRTMIN + 1, Keep);
  ASSERT_THAT(sigqueue(getpid(), SIGRTMIN + 1, {.sival_ptr = &handled}), SyscallSucceeds());
  EXPECT_EQ(last_info.si_code, SI_QUEUE);
  EXPECT_EQ(last_info.si_value.sival_ptr, &handled);
}

TEST_F(SignalTest, StandardSignalsMergeAndRealtimeOnesQueue) {
  const ScopedSigaction standard(SIGUSR1, Count), realtime(SIGRTMIN, Count);
  {
    const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
    for (int i = 0; i < 3; ++i) raise(SIGUSR1);
    EXPECT_TRUE(IsPending(SIGUSR1));
  }
  EXPECT_EQ(handled, 1);
  {
    const ScopedSigmask blocked(SIG_BLOCK, {SIGRTMIN});
    for (int i = 0; i < 3; ++i) raise(SIGRTMIN);
  }
  EXPECT_EQ(handled, 4);
}

TEST_F(SignalTest, LowerRealtimeSignalsComeFirstAndInOrder) {
  static std::vector<int> values;
  values.clear();
  const auto note =
      +[](int signal, siginfo_t* info, void*) { values.push_back(signal * 100 + info->si_value.sival_int); };
  const sigset_t all = SignalSet({SIGRTMIN, SIGRTMIN + 1});
  const ScopedSigaction low(SIGRTMIN, note, 0, all), high(SIGRTMIN + 1, note, 0, all);
  {
    const ScopedSigmask blocked(SIG_BLOCK, {SIGRTMIN, SIGRTMIN + 1});
    for (const int value : {1, 2}) {
      sigqueue(getpid(), SIGRTMIN + 1, {.sival_int = value});
      sigqueue(getpid(), SIGRTMIN, {.sival_int = value});
    }
  }
  std::vector<int> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(values.size(), 4u);
  EXPECT_EQ(values, sorted);
  const int low_base = SIGRTMIN * 100, high_base = low_base + 100;
  EXPECT_EQ(sorted, (std::vector<int>{low_base + 1, low_base + 2, high_base + 1, high_base + 2}));
}

TEST_F(SignalTest, SigtimedwaitTakesLowestFirst) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1, SIGUSR2, SIGRTMIN});
  const sigset_t set = SignalSet({SIGUSR1, SIGUSR2, SIGRTMIN});
  raise(SIGRTMIN);
  raise(SIGUSR2);
  raise(SIGUSR1);
  siginfo_t info;
  const timespec zero = {};
  EXPECT_THAT(sigtimedwait(&set, &info, &zero), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_EQ(info.si_pid, getpid());
  EXPECT_THAT(sigtimedwait(&set, &info, &zero), SyscallSucceedsWithValue(SIGUSR2));
  EXPECT_THAT(sigtimedwait(&set, &info, &zero), SyscallSucceedsWithValue(SIGRTMIN));
  EXPECT_THAT(sigtimedwait(&set, &info, &zero), SyscallFailsWithErrno(EAGAIN));
  const timespec wrong = {.tv_sec = 0, .tv_nsec = -1};
  EXPECT_THAT(sigtimedwait(&set, &info, &wrong), SyscallFailsWithErrno(EINVAL));
}

TEST_F(SignalTest, SigtimedwaitTimesOutAndWakes) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const sigset_t set = SignalSet({SIGUSR1});
  const timespec little = ToTimespec(3 * kMillisecond);
  const int64_t start = Now();
  EXPECT_THAT(sigtimedwait(&set, nullptr, &little), SyscallFailsWithErrno(EAGAIN));
  EXPECT_GE(Now() - start, 3 * kMillisecond);
  Child sender([] { kill(getppid(), SIGUSR1); });
  siginfo_t info;
  EXPECT_THAT(sigwaitinfo(&set, &info), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_EQ(info.si_pid, sender.pid());
}

TEST_F(SignalTest, SigsuspendSwapsTheMask) {
  const ScopedSigaction action(SIGUSR1, Count);
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  raise(SIGUSR1);
  EXPECT_EQ(handled, 0);
  const sigset_t none = SignalSet({});
  EXPECT_THAT(sigsuspend(&none), SyscallFailsWithErrno(EINTR));
  EXPECT_EQ(handled, 1);
  EXPECT_TRUE(IsBlocked(SIGUSR1));
}

TEST_F(SignalTest, MaskDuringAHandler) {
  static bool own, other, after;
  const ScopedSigaction action(
      SIGUSR1, +[](int) { own = IsBlocked(SIGUSR1), other = IsBlocked(SIGUSR2), after = IsBlocked(SIGTERM); },
      0, SignalSet({SIGUSR2}));
  raise(SIGUSR1);
  EXPECT_TRUE(own && other);
  EXPECT_FALSE(after);
  EXPECT_FALSE(IsBlocked(SIGUSR1) || IsBlocked(SIGUSR2));
}

TEST_F(SignalTest, NoDeferNests) {
  const ScopedSigaction action(
      SIGUSR1,
      +[](int) {
        if (++handled < 4) raise(SIGUSR1);
        order.push_back(handled);
      },
      SA_NODEFER);
  raise(SIGUSR1);
  EXPECT_EQ(order, (std::vector<int>{4, 4, 4, 4}));
}

TEST_F(SignalTest, WithoutNoDeferTheSecondWaits) {
  const ScopedSigaction action(
      SIGUSR1, +[](int) {
        if (++handled < 3) raise(SIGUSR1);
        order.push_back(handled);
      });
  raise(SIGUSR1);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST_F(SignalTest, ResetHand) {
  EXPECT_THAT(
      InChild([] {
        const ScopedSigaction action(SIGUSR1, Count, SA_RESETHAND);
        raise(SIGUSR1);
        struct sigaction now;
        CHILD_CHECK(handled == 1 && sigaction(SIGUSR1, nullptr, &now) == 0 && now.sa_handler == SIG_DFL);
        raise(SIGUSR1);
      }),
      KilledBy(SIGUSR1));
}

TEST_F(SignalTest, DefaultActions) {
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGALRM, SIGUSR1, SIGRTMIN, SIGRTMAX}) {
    EXPECT_THAT(InChild([=] {
                  ::signal(signal, SIG_DFL);
                  raise(signal);
                }),
                KilledBy(signal));
  }
  for (const int signal : {SIGCHLD, SIGURG, SIGWINCH, SIGCONT}) {
    EXPECT_THAT(InChild([=] {
                  ::signal(signal, SIG_DFL);
                  raise(signal);
                }),
                ExitedWith(0));
  }
}

TEST_F(SignalTest, ActionIsReadBack) {
  struct sigaction action = {}, read = {};
  action.sa_handler = Count;
  action.sa_flags = SA_RESTART | SA_NODEFER;
  action.sa_mask = SignalSet({SIGTERM, SIGKILL});
  struct sigaction old;
  ASSERT_THAT(sigaction(SIGUSR2, &action, &old), SyscallSucceeds());
  ASSERT_THAT(sigaction(SIGUSR2, &old, &read), SyscallSucceeds());
  EXPECT_EQ(read.sa_handler, &Count);
  EXPECT_EQ(read.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO), SA_RESTART | SA_NODEFER);
  EXPECT_EQ(sigismember(&read.sa_mask, SIGTERM), 1);
  EXPECT_EQ(sigismember(&read.sa_mask, SIGKILL), 0);
}

TEST_F(SignalTest, ActionErrors) {
  struct sigaction action = {};
  EXPECT_THAT(sigaction(SIGKILL, &action, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sigaction(SIGSTOP, &action, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sigaction(SIGKILL, nullptr, &action), SyscallSucceeds());
  EXPECT_THAT(syscall(SYS_rt_sigaction, 65, nullptr, nullptr, 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_rt_sigaction, SIGUSR1, nullptr, nullptr, 4), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_rt_sigaction, SIGUSR1, BadPointer(), nullptr, 8), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BadPointer(), nullptr, 8),
              SyscallFailsWithErrno(EFAULT));
  uint64_t set = 0;
  EXPECT_THAT(syscall(SYS_rt_sigprocmask, 77, &set, nullptr, 8), SyscallFailsWithErrno(EINVAL));
}

TEST_F(SignalTest, KillAndStopCannotBeBlocked) {
  const ScopedSigmask blocked(SIG_SETMASK, {SIGKILL, SIGSTOP, SIGUSR1});
  EXPECT_FALSE(IsBlocked(SIGKILL));
  EXPECT_FALSE(IsBlocked(SIGSTOP));
  EXPECT_TRUE(IsBlocked(SIGUSR1));
}

TEST_F(SignalTest, IgnoringDropsWhatIsPending) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  const ScopedSigaction action(SIGUSR1, Count);
  raise(SIGUSR1);
  signal(SIGUSR1, SIG_IGN);
  EXPECT_FALSE(IsPending(SIGUSR1));
}

TEST_F(SignalTest, KillErrorsAndPermission) {
  EXPECT_THAT(kill(getpid(), 65), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(kill(getpid(), 0), SyscallSucceeds());
  EXPECT_THAT(kill(1 << 22, 0), SyscallFailsWithErrno(ESRCH));
  const pid_t parent = getpid();
  EXPECT_THAT(InChild([=] {
                BecomeUser(1234, 1234);
                CHILD_CHECK(kill(parent, 0) == -1 && errno == EPERM);
                CHILD_CHECK(kill(getpid(), 0) == 0);
              }),
              ExitedWith(0));
}

TEST_F(SignalTest, KillOfAGroup) {
  Child leader([] {
    setpgid(0, 0);
    Child other([] {
      for (;;) pause();
    });
    kill(0, SIGTERM);
  });
  EXPECT_THAT(leader.Wait(), KilledBy(SIGTERM));
}

TEST_F(SignalTest, StopAndContinue) {
  Child child([] {
    for (;;) pause();
  });
  ASSERT_THAT(kill(child.pid(), SIGSTOP), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child.pid(), WUNTRACED), StoppedBy(SIGSTOP));
  ASSERT_THAT(kill(child.pid(), SIGTERM), SyscallSucceeds());
  EXPECT_THAT(waitpid(child.pid(), nullptr, WNOHANG), SyscallSucceedsWithValue(0));
  ASSERT_THAT(kill(child.pid(), SIGCONT), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), KilledBy(SIGTERM));
}

// An exit hangs up the stopped members of a group that it makes an orphan, no others.
TEST_F(SignalTest, AnExitElsewhereLeavesTheStoppedAlone) {
  Child stopped([] {
    for (;;) pause();
  });
  ASSERT_THAT(kill(stopped.pid(), SIGSTOP), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(stopped.pid(), WUNTRACED), StoppedBy(SIGSTOP));
  for (int i = 0; i < 3; ++i) {
    Child other([] { setpgid(0, 0); });
    EXPECT_THAT(other.Wait(), ExitedWith(0));
    Child same([] {});
    EXPECT_THAT(same.Wait(), ExitedWith(0));
  }
  EXPECT_THAT(waitpid(stopped.pid(), nullptr, WNOHANG | WCONTINUED), SyscallSucceedsWithValue(0));
  ASSERT_THAT(kill(stopped.pid(), SIGKILL), SyscallSucceeds());
  EXPECT_THAT(stopped.Wait(), KilledBy(SIGKILL));
}

TEST_F(SignalTest, KillReachesTheStopped) {
  Child child([] { raise(SIGSTOP); });
  EXPECT_THAT(WaitStatus(child.pid(), WUNTRACED), StoppedBy(SIGSTOP));
  ASSERT_THAT(kill(child.pid(), SIGKILL), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
}

TEST_F(SignalTest, ProcessSignalGoesToAThreadThatTakesIt) {
  static std::atomic<pid_t> taker;
  taker = 0;
  const ScopedSigaction action(SIGUSR1, +[](int) { taker = static_cast<pid_t>(syscall(SYS_gettid)); });
  std::atomic<bool> stop = false;
  ScopedThread thread([&] {
    while (!stop) sched_yield();
  });
  const pid_t tid = thread.tid();
  const ScopedSigmask blocked(SIG_BLOCK, {SIGUSR1});
  ASSERT_THAT(kill(getpid(), SIGUSR1), SyscallSucceeds());
  EXPECT_TRUE(YieldUntil([] { return taker != 0; }));
  EXPECT_EQ(taker.load(), tid);
  stop = true;
}

TEST_F(SignalTest, SyscallResultIsKeptAcrossAHandler) {
  const ScopedSigaction action(SIGUSR1, +[](int) { errno = 77; });
  EXPECT_EQ(syscall(SYS_kill, getpid(), SIGUSR1), 0);
  EXPECT_EQ(syscall(SYS_getpid), getpid());
}

}  // namespace
}  // namespace cloister::tests
