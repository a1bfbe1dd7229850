#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

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

void LimitFileSize(rlim_t size) {
  const rlimit limit = {.rlim_cur = size, .rlim_max = RLIM_INFINITY};
  CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

bool FailsBeyondTheLimit(int result) { return result == -1 && errno == EFBIG; }

TEST(Rlimit, FileSizeStopsFallocate) {
  const TempDir dir;
  const TestFd file = Open(dir.WithFile("f", "abc"), O_RDWR);
  EXPECT_THAT(InChild([&] {
                signal(SIGXFSZ, SIG_IGN);
                LimitFileSize(5000);
                CHILD_CHECK(fallocate(file.get(), 0, 0, 5000) == 0);
                CHILD_CHECK(FailsBeyondTheLimit(fallocate(file.get(), 0, 4999, 2)));
                LimitFileSize(100);  // it does not grow any more
                CHILD_CHECK(fallocate(file.get(), 0, 1000, 100) == 0);
                signal(SIGXFSZ, SIG_DFL);
                fallocate(file.get(), 0, 0, 6000);
              }),
              KilledBy(SIGXFSZ));
}

TEST(Rlimit, FileSizeStopsGrowthAlone) {
  const TempDir dir;
  const std::string path = dir.WithFile("f", std::string(100, 'x'));
  const TestFd file = Open(path, O_RDWR);
  EXPECT_THAT(InChild([&] {
                signal(SIGXFSZ, SIG_IGN);
                LimitFileSize(10);
                CHILD_CHECK(ftruncate(file.get(), 90) == 0 && truncate(path.c_str(), 80) == 0);
                CHILD_CHECK(FailsBeyondTheLimit(ftruncate(file.get(), 81)));
                CHILD_CHECK(FailsBeyondTheLimit(truncate(path.c_str(), 81)));
                CHILD_CHECK(ftruncate(file.get(), 5) == 0 && ftruncate(file.get(), 10) == 0);
                signal(SIGXFSZ, SIG_DFL);
                ftruncate(file.get(), 11);
              }),
              KilledBy(SIGXFSZ));
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
