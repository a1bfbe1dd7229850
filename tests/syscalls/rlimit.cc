#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <atomic>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"

// getrlimit(2), setrlimit(2), prlimit(2).
namespace cloister::tests {
namespace {

constexpr int kLimits = 16;  // RLIM_NLIMITS

TEST(Rlimit, EachCanBeRead) {
  for (int which = 0; which < kLimits; ++which) {
    rlimit limit;
    EXPECT_THAT(getrlimit(static_cast<__rlimit_resource>(which), &limit), SyscallSucceeds());
    EXPECT_LE(limit.rlim_cur, limit.rlim_max);
  }
  rlimit limit;
  EXPECT_THAT(syscall(SYS_getrlimit, kLimits, &limit), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_getrlimit, RLIMIT_CORE, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(Rlimit, SoftUpToHard) {
  EXPECT_THAT(InChild([] {
                rlimit limit;
                CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
                limit.rlim_cur = 100;
                CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                rlimit read;
                CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &read) == 0 && read.rlim_cur == 100 &&
                            read.rlim_max == limit.rlim_max);
                limit.rlim_cur = limit.rlim_max;
                CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                limit.rlim_cur = 10, limit.rlim_max = 9;
                CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == -1 && errno == EINVAL);
              }),
              ExitedWith(0));
}

TEST(Rlimit, HardOnlyGoesDownWithoutPrivilege) {
  EXPECT_THAT(InChild([] {
                BecomeUser(1234, 1234);
                const rlimit less = {.rlim_cur = 50, .rlim_max = 60}, more = {.rlim_cur = 50, .rlim_max = 61};
                CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &less) == 0);
                CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &more) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST(Rlimit, InheritedByChildren) {
  EXPECT_THAT(InChild([] {
                const rlimit limit = {.rlim_cur = 77, .rlim_max = 88};
                CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                CHILD_CHECK(InChild([] {
                              rlimit read;
                              CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &read) == 0 && read.rlim_cur == 77 &&
                                          read.rlim_max == 88);
                            }) == 0);
              }),
              ExitedWith(0));
}

TEST(Rlimit, OfAnotherProcess) {
  Child child([] {
    for (;;) pause();
  });
  const rlimit limit = {.rlim_cur = 33, .rlim_max = 44};
  rlimit read = {};
  EXPECT_THAT(prlimit(child.pid(), RLIMIT_NOFILE, &limit, nullptr), SyscallSucceeds());
  EXPECT_THAT(prlimit(child.pid(), RLIMIT_NOFILE, nullptr, &read), SyscallSucceeds());
  EXPECT_EQ(read.rlim_cur, 33u);
  EXPECT_EQ(read.rlim_max, 44u);
  EXPECT_THAT(prlimit(1 << 22, RLIMIT_NOFILE, nullptr, &read), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, BadPointer(), nullptr), SyscallFailsWithErrno(EFAULT));
}

TEST(Rlimit, CpuTimeEnds) {
  EXPECT_THAT(InChild([] {
                const rlimit limit = {.rlim_cur = 1, .rlim_max = 2};
                CHILD_CHECK(setrlimit(RLIMIT_CPU, &limit) == 0);
                signal(SIGXCPU, SIG_DFL);
                for (std::atomic<unsigned> n = 0;; ++n) continue;
              }),
              KilledBy(SIGXCPU));
}

TEST(Rlimit, DataStopsBrk) {
  EXPECT_THAT(InChild([] {
                const rlimit limit = {.rlim_cur = 0, .rlim_max = 0};
                CHILD_CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
                const long now = syscall(SYS_brk, 0);
                CHILD_CHECK(syscall(SYS_brk, now + (1 << 24)) == now);
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace cloister::tests
