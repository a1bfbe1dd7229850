#include <asm/prctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstring>
#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/thread.h"

// prctl(2), arch_prctl(2), personality(2).
namespace cloister::tests {
namespace {

TEST(Prctl, NameOfTheThread) {
  char name[17] = {};
  ScopedThread thread([&] {
    prctl(PR_SET_NAME, "a name that is far too long");
    prctl(PR_GET_NAME, name);
  });
  thread.Join();
  EXPECT_STREQ(name, "a name that is ");
  EXPECT_THAT(prctl(PR_SET_NAME, BadPointer<char>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(prctl(PR_GET_NAME, BadPointer<char>()), SyscallFailsWithErrno(EFAULT));
}

TEST(Prctl, SignalAtTheParentsDeath) {
  EXPECT_THAT(InChild([] {
                int signal = -1;
                CHILD_CHECK(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == 0);
                CHILD_CHECK(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0);
                CHILD_CHECK(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == SIGTERM);
                CHILD_CHECK(prctl(PR_SET_PDEATHSIG, 65) == -1 && errno == EINVAL);
                CHILD_CHECK(InChild([] {
                              int inherited = -1;
                              CHILD_CHECK(prctl(PR_GET_PDEATHSIG, &inherited) == 0 && inherited == 0);
                            }) == 0);
              }),
              ExitedWith(0));
}

TEST(Prctl, Dumpable) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(prctl(PR_GET_DUMPABLE) == 1);
                CHILD_CHECK(prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_GET_DUMPABLE) == 0);
                CHILD_CHECK(prctl(PR_SET_DUMPABLE, 2) == -1 && errno == EINVAL);
                CHILD_CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
              }),
              ExitedWith(0));
}

TEST(Prctl, TimerSlack) {
  EXPECT_THAT(InChild([] {
                const int before = prctl(PR_GET_TIMERSLACK);
                CHILD_CHECK(before > 0);
                CHILD_CHECK(prctl(PR_SET_TIMERSLACK, 12345) == 0 && prctl(PR_GET_TIMERSLACK) == 12345);
                CHILD_CHECK(prctl(PR_SET_TIMERSLACK, 0) == 0 && prctl(PR_GET_TIMERSLACK) == before);
              }),
              ExitedWith(0));
}

TEST(Prctl, UnknownOption) { EXPECT_THAT(prctl(0x12345, 0, 0, 0, 0), SyscallFailsWithErrno(EINVAL)); }

TEST(ArchPrctl, BaseRegisters) {
  EXPECT_THAT(InChild([] {
                unsigned long fs = 0, gs = 1;
                CHILD_CHECK(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs) == 0 && fs != 0);
                unsigned long self;
                asm("mov %%fs:0, %0" : "=r"(self));
                CHILD_CHECK(self == fs);
                static unsigned long there = 0x1234;
                CHILD_CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, &there) == 0);
                asm volatile("mov %%gs:0, %0" : "=r"(gs));
                CHILD_CHECK(gs == 0x1234);
                CHILD_CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs) == 0 &&
                            gs == reinterpret_cast<unsigned long>(&there));
                CHILD_CHECK(getpid() > 0);  // calls work with a GS of one's own
                CHILD_CHECK(syscall(SYS_arch_prctl, ARCH_SET_FS, ~0ul << 63) == -1 && errno == EPERM);
                CHILD_CHECK(syscall(SYS_arch_prctl, 0x9999, 0) == -1 && errno == EINVAL);
                CHILD_CHECK(syscall(SYS_arch_prctl, ARCH_GET_FS, BadPointer()) == -1 && errno == EFAULT);
              }),
              ExitedWith(0));
}

TEST(Personality, ReadAndSet) {
  EXPECT_THAT(InChild([] {
                const int before = personality(0xffffffff);
                CHILD_CHECK(before >= 0);
                CHILD_CHECK(personality(ADDR_NO_RANDOMIZE) == before);
                CHILD_CHECK(personality(0xffffffff) == ADDR_NO_RANDOMIZE);
              }),
              ExitedWith(0));
}

TEST(Unknown, SyscallNumbers) {
  EXPECT_THAT(syscall(5000), SyscallFailsWithErrno(ENOSYS));
  EXPECT_THAT(syscall(-1), SyscallFailsWithErrno(ENOSYS));
  EXPECT_THAT(syscall(SYS_uselib, 0), SyscallFailsWithErrno(ENOSYS));
}

}  // namespace
}  // namespace cloister::tests
