#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include <atomic>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/thread.h"

// clock_gettime(2), nanosleep(2), clock_nanosleep(2), setitimer(2), alarm(2), timer_create(2), times(2),
// getrusage(2).
namespace cloister::tests {
namespace {

std::atomic<int> handled;
void Count(int) { ++handled; }

// The calls under test.
int Sleep(const timespec* length, timespec* left) { return nanosleep(length, left); }  // NOLINT(sleep)
int SleepOn(clockid_t clock, int flags, const timespec* time, timespec* left) {
  return clock_nanosleep(clock, flags, time, left);  // NOLINT(sleep)
}

void Burn(int64_t nanoseconds) {
  const int64_t until = Now(CLOCK_PROCESS_CPUTIME_ID) + nanoseconds;
  while (Now(CLOCK_PROCESS_CPUTIME_ID) < until) continue;
}

TEST(Clock, AllClocksAdvance) {
  for (const clockid_t clock :
       {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_REALTIME_COARSE,
        CLOCK_MONOTONIC_COARSE, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_TAI}) {
    timespec raw = {};
    EXPECT_THAT(syscall(SYS_clock_gettime, clock, &raw), SyscallSucceeds()) << clock;
    EXPECT_GE(Now(clock), Nanoseconds(raw)) << clock;
    EXPECT_THAT(clock_getres(clock, &raw), SyscallSucceeds()) << clock;
    EXPECT_GT(Nanoseconds(raw), 0) << clock;
  }
}

TEST(Clock, MonotonicNeverGoesBack) {
  int64_t last = Now();
  for (int i = 0; i < 10000; ++i) {
    const int64_t now = Now();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Clock, RealTimeCallsAgree) {
  timeval of_day = {};
  const time_t before = time(nullptr);
  ASSERT_THAT(gettimeofday(&of_day, nullptr), SyscallSucceeds());
  EXPECT_GE(of_day.tv_sec, before);
  EXPECT_LE(of_day.tv_sec, before + 2);
  EXPECT_NEAR(static_cast<double>(syscall(SYS_time, nullptr)), static_cast<double>(before), 2);
  EXPECT_GT(before, 1700000000);
}

TEST(Clock, Errors) {
  timespec time;
  EXPECT_THAT(clock_gettime(100, &time), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(clock_getres(100, &time), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, BadPointer()), SyscallFailsWithErrno(EFAULT));
  time = {.tv_sec = 5, .tv_nsec = 0};
  EXPECT_THAT(clock_settime(CLOCK_MONOTONIC, &time), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(InChild([&] {
                BecomeUser(1234, 1234);
                CHILD_CHECK(clock_settime(CLOCK_REALTIME, &time) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST(Clock, CpuTimeGrowsWithWork) {
  const int64_t process = Now(CLOCK_PROCESS_CPUTIME_ID), thread = Now(CLOCK_THREAD_CPUTIME_ID);
  const int64_t until = Now(CLOCK_THREAD_CPUTIME_ID) + 3 * kMillisecond;
  while (Now(CLOCK_THREAD_CPUTIME_ID) < until) continue;
  EXPECT_GE(Now(CLOCK_THREAD_CPUTIME_ID) - thread, 3 * kMillisecond);
  EXPECT_GE(Now(CLOCK_PROCESS_CPUTIME_ID) - process, 3 * kMillisecond);
  clockid_t own;
  ASSERT_EQ(clock_getcpuclockid(getpid(), &own), 0);
  EXPECT_GE(Now(own), process);
}

TEST(Sleeping, AtLeastAsLong) {
  const timespec little = ToTimespec(3 * kMillisecond);
  int64_t start = Now();
  EXPECT_THAT(Sleep(&little, nullptr), SyscallSucceeds());
  EXPECT_GE(Now() - start, 3 * kMillisecond);
  start = Now();
  EXPECT_EQ(SleepOn(CLOCK_REALTIME, 0, &little, nullptr), 0);
  EXPECT_GE(Now() - start, 3 * kMillisecond);
}

TEST(Sleeping, UntilAPointInTime) {
  const timespec when = ToTimespec(Now() + 3 * kMillisecond), past = {.tv_sec = 1, .tv_nsec = 0};
  EXPECT_EQ(SleepOn(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, nullptr), 0);
  EXPECT_GE(Now(), Nanoseconds(when));
  EXPECT_EQ(SleepOn(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, nullptr), 0);
}

TEST(Sleeping, Errors) {
  const timespec wrong = {.tv_sec = 0, .tv_nsec = kSecond}, negative = {.tv_sec = -1, .tv_nsec = 0};
  EXPECT_THAT(Sleep(&wrong, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Sleep(&negative, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Sleep(BadPointer<timespec>(), nullptr), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(SleepOn(CLOCK_THREAD_CPUTIME_ID, 0, &negative, nullptr), EINVAL);
}

TEST(Sleeping, InterruptionTellsWhatIsLeft) {
  const ScopedSigaction action(SIGUSR1, Count, SA_RESTART);
  timespec left = {};
  int error = 0;
  std::atomic<bool> done = false;
  ScopedThread sleeper([&] {
    const timespec length = {.tv_sec = 100, .tv_nsec = 0};
    if (Sleep(&length, &left) != 0) error = errno;
    done = true;
  });
  EXPECT_TRUE(YieldUntil([&] { return tgkill(getpid(), sleeper.tid(), SIGUSR1) != 0 || done.load(); }));
  sleeper.Join();
  EXPECT_EQ(error, EINTR);  // signal(7): never restarted after a handler
  EXPECT_GT(Nanoseconds(left), 80 * kSecond);
  EXPECT_LE(Nanoseconds(left), 101 * kSecond);
}

TEST(Sleeping, GoesOnAfterAStop) {
  Child child([] {
    const timespec length = ToTimespec(20 * kMillisecond);
    CHILD_CHECK(Sleep(&length, nullptr) == 0);
  });
  ASSERT_THAT(kill(child.pid(), SIGSTOP), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child.pid(), WUNTRACED), StoppedBy(SIGSTOP));
  ASSERT_THAT(kill(child.pid(), SIGCONT), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(Itimer, RealTimerRepeats) {
  handled = 0;
  const ScopedSigaction action(SIGALRM, Count);
  const itimerval spec = {.it_interval = {.tv_sec = 0, .tv_usec = 1000},
                          .it_value = {.tv_sec = 0, .tv_usec = 1000}};
  ASSERT_THAT(setitimer(ITIMER_REAL, &spec, nullptr), SyscallSucceeds());
  EXPECT_TRUE(YieldUntil([] { return handled >= 3; }));
  const itimerval off = {};
  itimerval old = {};
  EXPECT_THAT(setitimer(ITIMER_REAL, &off, &old), SyscallSucceeds());
  EXPECT_EQ(old.it_interval.tv_usec, 1000);
}

TEST(Itimer, CpuTimers) {
  for (const auto& [which, signal] :
       {std::pair<__itimer_which_t, int>{ITIMER_VIRTUAL, SIGVTALRM}, {ITIMER_PROF, SIGPROF}}) {
    handled = 0;
    const ScopedSigaction action(signal, Count);
    const itimerval spec = {.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 5000}};
    ASSERT_THAT(setitimer(which, &spec, nullptr), SyscallSucceeds());
    const int64_t start = Now();
    while (handled == 0 && Now() - start < 10 * kSecond) continue;
    EXPECT_EQ(handled, 1) << signal;
  }
}

TEST(Itimer, AlarmAndErrors) {
  EXPECT_EQ(alarm(100), 0u);
  itimerval now = {};
  EXPECT_THAT(getitimer(ITIMER_REAL, &now), SyscallSucceeds());
  EXPECT_GE(now.it_value.tv_sec, 98);
  EXPECT_GE(alarm(0), 99u);
  EXPECT_THAT(InChild([] { CHILD_CHECK(alarm(0) == 0); }), ExitedWith(0));
  EXPECT_THAT(syscall(SYS_setitimer, 7, &now, nullptr), SyscallFailsWithErrno(EINVAL));
  now.it_value.tv_usec = 1000000;
  EXPECT_THAT(setitimer(ITIMER_REAL, &now, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_setitimer, ITIMER_REAL, BadPointer(), nullptr), SyscallFailsWithErrno(EFAULT));
}

TEST(Itimer, AlarmKillsByDefault) {
  EXPECT_THAT(InChild([] {
                const itimerval spec = {.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 1000}};
                setitimer(ITIMER_REAL, &spec, nullptr);
                for (;;) pause();
              }),
              KilledBy(SIGALRM));
}

class PosixTimerTest : public ::testing::Test {
 protected:
  timer_t timer_ = {};
  static inline std::atomic<int> value_, code_;

  void Create(clockid_t clock = CLOCK_MONOTONIC) {
    value_ = code_ = 0;
    handled = 0;
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN;
    event.sigev_value.sival_int = 321;
    ASSERT_THAT(timer_create(clock, &event, &timer_), SyscallSucceeds());
  }
  static void Handle(int, siginfo_t* info, void*) {
    value_ = info->si_value.sival_int;
    code_ = info->si_code;
    ++handled;
  }
  const ScopedSigaction action_{SIGRTMIN, Handle};
};

TEST_F(PosixTimerTest, SignalsWithItsValue) {
  Create();
  const itimerspec spec = {.it_interval = {}, .it_value = ToTimespec(2 * kMillisecond)};
  ASSERT_THAT(timer_settime(timer_, 0, &spec, nullptr), SyscallSucceeds());
  EXPECT_TRUE(YieldUntil([] { return handled == 1; }));
  EXPECT_EQ(value_, 321);
  EXPECT_EQ(code_, SI_TIMER);
  itimerspec left = {};
  EXPECT_THAT(timer_gettime(timer_, &left), SyscallSucceeds());
  EXPECT_EQ(Nanoseconds(left.it_value), 0);
  EXPECT_THAT(timer_delete(timer_), SyscallSucceeds());
}

TEST_F(PosixTimerTest, Overruns) {
  Create();
  {
    const ScopedSigmask blocked(SIG_BLOCK, {SIGRTMIN});
    const itimerspec spec = {.it_interval = ToTimespec(kMillisecond), .it_value = ToTimespec(kMillisecond)};
    ASSERT_THAT(timer_settime(timer_, 0, &spec, nullptr), SyscallSucceeds());
    const int64_t until = Now() + 10 * kMillisecond;
    while (Now() < until) continue;
  }
  EXPECT_TRUE(YieldUntil([] { return handled >= 1; }));
  EXPECT_THAT(timer_getoverrun(timer_), SyscallSucceeds());
  EXPECT_THAT(timer_delete(timer_), SyscallSucceeds());
}

// However short the interval, one signal pends; what passes until it is taken are its overruns.
TEST_F(PosixTimerTest, OneSignalPendsAtMost) {
  Create();
  const ScopedSigmask blocked(SIG_BLOCK, {SIGRTMIN});
  const sigset_t wanted = SignalSet({SIGRTMIN});
  const itimerspec spec = {.it_interval = ToTimespec(kMillisecond), .it_value = ToTimespec(kMillisecond)};
  ASSERT_THAT(timer_settime(timer_, 0, &spec, nullptr), SyscallSucceeds());
  const int64_t until = Now() + 20 * kMillisecond;
  while (Now() < until) continue;
  itimerspec left = {};
  EXPECT_THAT(timer_gettime(timer_, &left), SyscallSucceeds());
  EXPECT_GT(Nanoseconds(left.it_value), 0);
  EXPECT_LE(Nanoseconds(left.it_value), kMillisecond);
  siginfo_t info = {};
  ASSERT_THAT(sigwaitinfo(&wanted, &info), SyscallSucceedsWithValue(SIGRTMIN));
  EXPECT_GE(info.si_overrun, 15);
  const int64_t next_pends = Now() + 3 * kMillisecond;
  while (Now() < next_pends) continue;
  EXPECT_THAT(timer_getoverrun(timer_), SyscallSucceedsWithValue(info.si_overrun)) << "of the one taken";
  ASSERT_THAT(sigwaitinfo(&wanted, &info), SyscallSucceedsWithValue(SIGRTMIN));  // it goes on
  const itimerspec none = {};
  ASSERT_THAT(timer_settime(timer_, 0, &none, nullptr), SyscallSucceeds());
  const timespec now = {};
  for (int more = 0; sigtimedwait(&wanted, &info, &now) == SIGRTMIN; ++more) ASSERT_LT(more, 1);
  EXPECT_THAT(timer_delete(timer_), SyscallSucceeds());
}

TEST_F(PosixTimerTest, ShortestIntervalLeavesTimeForOthers) {
  Create();
  itimerspec spec = {.it_interval = {0, 1}, .it_value = {0, 1}};
  {
    const ScopedSigmask blocked(SIG_BLOCK, {SIGRTMIN});
    ASSERT_THAT(timer_settime(timer_, 0, &spec, nullptr), SyscallSucceeds());
    const int64_t until = Now() + 2 * kMillisecond;
    while (Now() < until) continue;
    spec = {};
    ASSERT_THAT(timer_settime(timer_, 0, &spec, nullptr), SyscallSucceeds());
  }
  EXPECT_LE(handled, 1);
  EXPECT_THAT(timer_delete(timer_), SyscallSucceeds());
}

TEST_F(PosixTimerTest, IgnoredAndTakenUpAgain) {
  Create();
  const itimerspec spec = {.it_interval = ToTimespec(kMillisecond), .it_value = ToTimespec(kMillisecond)};
  const sigset_t wanted = SignalSet({SIGRTMIN});
  const ScopedSigmask blocked(SIG_BLOCK, {SIGRTMIN});
  ASSERT_THAT(timer_settime(timer_, 0, &spec, nullptr), SyscallSucceeds());
  sigset_t pending;
  EXPECT_TRUE(YieldUntil([&] { return sigpending(&pending) == 0 && sigismember(&pending, SIGRTMIN) == 1; }));
  struct sigaction action = {}, old = {};
  action.sa_handler = SIG_IGN;
  ASSERT_THAT(sigaction(SIGRTMIN, &action, &old), SyscallSucceeds());
  ASSERT_THAT(sigaction(SIGRTMIN, &old, nullptr), SyscallSucceeds());
  siginfo_t info = {};
  ASSERT_THAT(sigwaitinfo(&wanted, &info), SyscallSucceedsWithValue(SIGRTMIN));
  EXPECT_THAT(timer_delete(timer_), SyscallSucceeds());
}

TEST_F(PosixTimerTest, WithoutAnEventItIsAnAlarmWithItsNumber) {
  const ScopedSigmask blocked(SIG_BLOCK, {SIGALRM});
  const sigset_t wanted = SignalSet({SIGALRM});
  int id = -1;
  ASSERT_THAT(syscall(SYS_timer_create, CLOCK_MONOTONIC, nullptr, &id), SyscallSucceeds());
  const itimerspec spec = {.it_interval = {}, .it_value = {0, 1}};
  ASSERT_THAT(syscall(SYS_timer_settime, id, 0, &spec, nullptr), SyscallSucceeds());
  siginfo_t info = {};
  ASSERT_THAT(sigwaitinfo(&wanted, &info), SyscallSucceedsWithValue(SIGALRM));
  EXPECT_EQ(info.si_code, SI_TIMER);
  EXPECT_EQ(info.si_value.sival_int, id);
  EXPECT_EQ(info.si_timerid, id);
  EXPECT_THAT(syscall(SYS_timer_delete, id), SyscallSucceeds());
}

TEST_F(PosixTimerTest, WhoIsNotToldCanStillAsk) {
  sigevent event = {};
  event.sigev_notify = SIGEV_NONE;
  ASSERT_THAT(timer_create(CLOCK_MONOTONIC, &event, &timer_), SyscallSucceeds());
  itimerspec spec = {.it_interval = {}, .it_value = {0, 1}}, left = {};
  ASSERT_THAT(timer_settime(timer_, 0, &spec, nullptr), SyscallSucceeds());
  EXPECT_TRUE(
      YieldUntil([&] { return timer_gettime(timer_, &left) == 0 && Nanoseconds(left.it_value) == 0; }));
  spec.it_interval = ToTimespec(kSecond);
  ASSERT_THAT(timer_settime(timer_, 0, &spec, nullptr), SyscallSucceeds());
  EXPECT_THAT(timer_gettime(timer_, &left), SyscallSucceeds());
  EXPECT_GT(Nanoseconds(left.it_value), 0);
  EXPECT_THAT(timer_delete(timer_), SyscallSucceeds());
}

TEST_F(PosixTimerTest, AbsoluteAndCpuClocks) {
  Create(CLOCK_PROCESS_CPUTIME_ID);
  const itimerspec spec = {.it_interval = {}, .it_value = ToTimespec(5 * kMillisecond)};
  ASSERT_THAT(timer_settime(timer_, 0, &spec, nullptr), SyscallSucceeds());
  const int64_t start = Now();
  while (handled == 0 && Now() - start < 10 * kSecond) Burn(kMillisecond);
  EXPECT_EQ(handled, 1);
  EXPECT_THAT(timer_delete(timer_), SyscallSucceeds());
}

TEST_F(PosixTimerTest, Errors) {
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = 0;
  EXPECT_THAT(timer_create(CLOCK_MONOTONIC, &event, &timer_), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(timer_create(100, nullptr, &timer_), SyscallFailsWithErrno(EINVAL));
  const itimerspec spec = {};
  EXPECT_THAT(syscall(SYS_timer_settime, 777, 0, &spec, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_timer_delete, 777), SyscallFailsWithErrno(EINVAL));
}

TEST(Times, CountTicks) {
  tms before = {}, after = {};
  const clock_t start = times(&before);
  Burn(30 * kMillisecond);
  EXPECT_GE(times(&after), start);
  EXPECT_GE(after.tms_utime + after.tms_stime, before.tms_utime + before.tms_stime + 1);
  EXPECT_THAT(syscall(SYS_times, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(Times, ChildrenAreCountedOnceWaitedFor) {
  tms before = {}, after = {};
  times(&before);
  EXPECT_THAT(InChild([] { Burn(30 * kMillisecond); }), ExitedWith(0));
  times(&after);
  EXPECT_GE(after.tms_cutime + after.tms_cstime, before.tms_cutime + before.tms_cstime + 1);
}

TEST(Rusage, Fields) {
  rusage self = {}, thread = {};
  EXPECT_THAT(getrusage(RUSAGE_SELF, &self), SyscallSucceeds());
  EXPECT_THAT(getrusage(RUSAGE_THREAD, &thread), SyscallSucceeds());
  EXPECT_THAT(getrusage(RUSAGE_CHILDREN, &thread), SyscallSucceeds());
  EXPECT_GT(self.ru_maxrss, 0);
  EXPECT_THAT(syscall(SYS_getrusage, 99, &self), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_getrusage, RUSAGE_SELF, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

}  // namespace
}  // namespace cloister::tests
