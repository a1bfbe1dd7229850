#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

#include "tests/util/clock.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// timerfd_create(2).
namespace cloister::tests {
namespace {

TestFd NewTimer(int flags = 0, clockid_t clock = CLOCK_MONOTONIC) {
  return TestFd(timerfd_create(clock, flags));
}

int Arm(const TestFd& timer, int64_t first, int64_t interval = 0, int flags = 0) {
  const itimerspec spec = {.it_interval = ToTimespec(interval), .it_value = ToTimespec(first)};
  return timerfd_settime(timer.get(), flags, &spec, nullptr);
}

uint64_t Expirations(const TestFd& timer) {
  uint64_t count = 0;
  EXPECT_THAT(read(timer.get(), &count, sizeof count), SyscallSucceedsWithValue(8));
  return count;
}

TEST(TimerFd, OneShot) {
  const TestFd timer = NewTimer();
  const int64_t start = Now();
  ASSERT_THAT(Arm(timer, 5 * kMillisecond), SyscallSucceeds());
  EXPECT_EQ(Expirations(timer), 1u);
  EXPECT_GE(Now() - start, 5 * kMillisecond);
  itimerspec left;
  EXPECT_THAT(timerfd_gettime(timer.get(), &left), SyscallSucceeds());
  EXPECT_EQ(Nanoseconds(left.it_value), 0);
}

TEST(TimerFd, IntervalCountsWhatWasMissed) {
  const TestFd timer = NewTimer();
  ASSERT_THAT(Arm(timer, kMillisecond, kMillisecond), SyscallSucceeds());
  uint64_t sum = 0;
  const int64_t start = Now();
  while (sum < 10) sum += Expirations(timer);
  EXPECT_GE(Now() - start, 10 * kMillisecond - kMillisecond / 10);
  const int64_t until = Now() + 5 * kMillisecond;
  while (Now() < until) continue;
  EXPECT_GE(Expirations(timer), 4u);
}

TEST(TimerFd, AbsoluteInThePastExpiresAtOnce) {
  const TestFd timer = NewTimer(TFD_NONBLOCK);
  ASSERT_THAT(Arm(timer, 1, 0, TFD_TIMER_ABSTIME), SyscallSucceeds());
  EXPECT_EQ(Expirations(timer), 1u);
}

TEST(TimerFd, AbsoluteRealtime) {
  const TestFd timer = NewTimer(0, CLOCK_REALTIME);
  const int64_t when = Now(CLOCK_REALTIME) + 5 * kMillisecond;
  ASSERT_THAT(Arm(timer, when, 0, TFD_TIMER_ABSTIME), SyscallSucceeds());
  EXPECT_EQ(Expirations(timer), 1u);
  EXPECT_GE(Now(CLOCK_REALTIME), when);
}

TEST(TimerFd, NonblockingBeforeExpiry) {
  const TestFd timer = NewTimer(TFD_NONBLOCK);
  uint64_t count;
  EXPECT_THAT(read(timer.get(), &count, sizeof count), SyscallFailsWithErrno(EAGAIN));
  ASSERT_THAT(Arm(timer, 100 * kSecond), SyscallSucceeds());
  EXPECT_THAT(read(timer.get(), &count, sizeof count), SyscallFailsWithErrno(EAGAIN));
  itimerspec left;
  EXPECT_THAT(timerfd_gettime(timer.get(), &left), SyscallSucceeds());
  EXPECT_GT(Nanoseconds(left.it_value), 90 * kSecond);
  EXPECT_LE(Nanoseconds(left.it_value), 100 * kSecond);
}

TEST(TimerFd, DisarmAndOldValue) {
  const TestFd timer = NewTimer(TFD_NONBLOCK);
  ASSERT_THAT(Arm(timer, 50 * kSecond, 7 * kSecond), SyscallSucceeds());
  const itimerspec off = {};
  itimerspec old;
  EXPECT_THAT(timerfd_settime(timer.get(), 0, &off, &old), SyscallSucceeds());
  EXPECT_EQ(Nanoseconds(old.it_interval), 7 * kSecond);
  EXPECT_GT(Nanoseconds(old.it_value), 40 * kSecond);
  EXPECT_THAT(timerfd_gettime(timer.get(), &old), SyscallSucceeds());
  EXPECT_EQ(Nanoseconds(old.it_value), 0);
}

TEST(TimerFd, SettingForgetsExpirations) {
  const TestFd timer = NewTimer(TFD_NONBLOCK);
  ASSERT_THAT(Arm(timer, 1, 0, TFD_TIMER_ABSTIME), SyscallSucceeds());
  ASSERT_THAT(Arm(timer, 100 * kSecond), SyscallSucceeds());
  uint64_t count;
  EXPECT_THAT(read(timer.get(), &count, sizeof count), SyscallFailsWithErrno(EAGAIN));
}

TEST(TimerFd, Poll) {
  const TestFd timer = NewTimer();
  pollfd entry = {.fd = timer.get(), .events = POLLIN, .revents = 0};
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(0));
  ASSERT_THAT(Arm(timer, 3 * kMillisecond), SyscallSucceeds());
  EXPECT_THAT(poll(&entry, 1, 10000), SyscallSucceedsWithValue(1));
  EXPECT_EQ(entry.revents, POLLIN);
  EXPECT_EQ(Expirations(timer), 1u);
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(0));
}

TEST(TimerFd, Errors) {
  const TestFd timer = NewTimer();
  EXPECT_THAT(timerfd_create(CLOCK_MONOTONIC, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Arm(timer, 1, 0, 1 << 10), SyscallFailsWithErrno(EINVAL));
  itimerspec spec = {.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = kSecond}};
  EXPECT_THAT(timerfd_settime(timer.get(), 0, &spec, nullptr), SyscallFailsWithErrno(EINVAL));
  spec.it_value = {.tv_sec = -1, .tv_nsec = 0};
  EXPECT_THAT(timerfd_settime(timer.get(), 0, &spec, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(timerfd_settime(timer.get(), 0, BadPointer<itimerspec>(), nullptr),
              SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(timerfd_gettime(timer.get(), BadPointer<itimerspec>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(timerfd_gettime(-1, &spec), SyscallFailsWithErrno(EBADF));
  const Pipe pipe;
  EXPECT_THAT(timerfd_gettime(pipe.read.get(), &spec), SyscallFailsWithErrno(EINVAL));
  uint64_t count;
  EXPECT_THAT(read(timer.get(), &count, 7), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace cloister::tests
