#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/thread.h"

// sched(7): affinity, yielding, policies, nice values, getcpu(2).
namespace cloister::tests {
namespace {

TEST(Affinity, OneProcessor) {
  EXPECT_THAT(
      InChild([] {
        cpu_set_t all;
        CHILD_CHECK(sched_getaffinity(0, sizeof all, &all) == 0 && CPU_COUNT(&all) >= 1);
        int last = 0;
        for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
          if (CPU_ISSET(cpu, &all)) last = cpu;
        }
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(last, &one);
        CHILD_CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
        cpu_set_t read;
        CHILD_CHECK(sched_getaffinity(0, sizeof read, &read) == 0 && CPU_EQUAL(&read, &one));
        CHILD_CHECK(sched_getcpu() == last);
        CHILD_CHECK(InChild([&] {
                      CHILD_CHECK(sched_getaffinity(0, sizeof read, &read) == 0 && CPU_EQUAL(&read, &one));
                    }) == 0);
      }),
      ExitedWith(0));
}

// Two that talk all the time: whatever is done to serve them faster, they have the cores that they began
// with, and so have their children.
TEST(Affinity, StaysWhileTwoTalk) {
  cpu_set_t all;
  CPU_ZERO(&all);
  ASSERT_THAT(sched_getaffinity(0, sizeof all, &all), SyscallSucceeds());
  const auto has_all = [&all] {
    cpu_set_t now;
    CPU_ZERO(&now);
    return sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &all);
  };
  int there[2], back[2];
  ASSERT_THAT(pipe(there), SyscallSucceeds());
  ASSERT_THAT(pipe(back), SyscallSucceeds());
  Child echo([&] {
    close(there[1]);
    for (char byte; read(there[0], &byte, 1) == 1;) {
      for (int i = 0; i < 8; ++i) CHILD_CHECK(lseek(there[0], 0, SEEK_SET) == -1);
      CHILD_CHECK(write(back[1], &byte, 1) == 1);
    }
    CHILD_CHECK(has_all());
  });
  close(there[0]);
  for (int i = 0; i < 20'000; ++i) {
    char byte = 'x';
    ASSERT_THAT(write(there[1], &byte, 1), SyscallSucceedsWithValue(1));
    ASSERT_THAT(read(back[0], &byte, 1), SyscallSucceedsWithValue(1));
    if (i % 500 != 0) continue;
    ASSERT_TRUE(has_all()) << i;
    ASSERT_EQ(InChild([&] { CHILD_CHECK(has_all()); }), 0) << i;
  }
  close(there[1]);
  EXPECT_EQ(echo.Wait(), 0);
}

TEST(Affinity, Errors) {
  cpu_set_t none;
  CPU_ZERO(&none);
  EXPECT_THAT(sched_setaffinity(0, sizeof none, &none), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sched_getaffinity(1 << 22, sizeof none, &none), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(syscall(SYS_sched_getaffinity, 0, 3, &none), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_sched_getaffinity, 0, sizeof none, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(Getcpu, InRange) {
  unsigned cpu = ~0u, node = ~0u;
  EXPECT_THAT(syscall(SYS_getcpu, &cpu, &node, nullptr), SyscallSucceeds());
  EXPECT_LT(cpu, unsigned{CPU_SETSIZE});
  EXPECT_THAT(syscall(SYS_getcpu, BadPointer(), nullptr, nullptr), SyscallFailsWithErrno(EFAULT));
}

TEST(Yield, Succeeds) {
  for (int i = 0; i < 100; ++i) EXPECT_THAT(sched_yield(), SyscallSucceeds());
}

TEST(Policy, NormalByDefault) {
  EXPECT_THAT(sched_getscheduler(0), SyscallSucceedsWithValue(SCHED_OTHER));
  sched_param parameters = {.sched_priority = 5};
  EXPECT_THAT(sched_getparam(0, &parameters), SyscallSucceeds());
  EXPECT_EQ(parameters.sched_priority, 0);
  EXPECT_THAT(sched_setscheduler(0, SCHED_OTHER, &parameters), SyscallSucceeds());
  parameters.sched_priority = 5;
  EXPECT_THAT(sched_setscheduler(0, SCHED_OTHER, &parameters), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sched_setscheduler(0, 99, &parameters), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sched_getscheduler(1 << 22), SyscallFailsWithErrno(ESRCH));
}

TEST(Policy, Ranges) {
  EXPECT_THAT(sched_get_priority_min(SCHED_FIFO), SyscallSucceedsWithValue(1));
  EXPECT_THAT(sched_get_priority_max(SCHED_RR), SyscallSucceedsWithValue(99));
  EXPECT_THAT(sched_get_priority_max(SCHED_OTHER), SyscallSucceedsWithValue(0));
  EXPECT_THAT(sched_get_priority_max(99), SyscallFailsWithErrno(EINVAL));
}

TEST(Nice, LowerPriorityIsInherited) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(getpriority(PRIO_PROCESS, 0) == 0);
                CHILD_CHECK(setpriority(PRIO_PROCESS, 0, 7) == 0 && getpriority(PRIO_PROCESS, 0) == 7);
                CHILD_CHECK(nice(100) == 19);
                CHILD_CHECK(InChild([] { CHILD_CHECK(getpriority(PRIO_PROCESS, 0) == 19); }) == 0);
                CHILD_CHECK(syscall(SYS_getpriority, PRIO_PROCESS, 0) == 20 - 19);
                BecomeUser(1234, 1234);
                CHILD_CHECK(setpriority(PRIO_PROCESS, 0, 0) == -1 && errno == EACCES);
              }),
              ExitedWith(0));
}

TEST(Nice, Errors) {
  EXPECT_THAT(syscall(SYS_setpriority, 9, 0, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_setpriority, PRIO_PROCESS, 1 << 22, 0), SyscallFailsWithErrno(ESRCH));
}

}  // namespace
}  // namespace cloister::tests
