#include "platform/filter/tracee_filter.h"

#include <linux/audit.h>
#include <sched.h>
#include <sys/syscall.h>

#include <vector>

#include "gtest/gtest.h"
#include "platform/filter/bpf_assembler.h"

namespace cloister::filter {
namespace {

class TraceeFilterTest : public testing::Test {
 protected:
  void SetUp() override {
    auto built = BuildTraceeFilter();
    ASSERT_TRUE(built.ok()) << built.status();
    filter_ = *built;
  }
  uint32_t Ask(int nr, uint64_t first = 0, uint32_t arch = AUDIT_ARCH_X86_64) {
    seccomp_data data = {};
    data.nr = nr;
    data.arch = arch;
    data.args[0] = first;
    return InterpretBpf(filter_, data);
  }
  std::vector<sock_filter> filter_;
};

TEST_F(TraceeFilterTest, WhatTheTracerCallsIsAllowed) {
  for (const StubRule& rule : TraceeRules()) {
    if (rule.nr == SYS_clone) continue;
    EXPECT_EQ(Ask(rule.nr), SECCOMP_RET_ALLOW) << rule.name;
  }
}

TEST_F(TraceeFilterTest, OnlyTracedChildrenAreMade) {
  EXPECT_EQ(Ask(SYS_clone, CLONE_PTRACE | CLONE_PARENT), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Ask(SYS_clone, CLONE_PTRACE | CLONE_VM | CLONE_THREAD), SECCOMP_RET_ALLOW);
  EXPECT_EQ(Ask(SYS_clone, CLONE_PARENT), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(Ask(SYS_clone, CLONE_PTRACE | CLONE_UNTRACED), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(Ask(SYS_clone, CLONE_PTRACE | CLONE_NEWUSER), SECCOMP_RET_KILL_PROCESS);
}

TEST_F(TraceeFilterTest, TheCallsOfTheVsyscallPageTrap) {
  for (const int nr : {SYS_gettimeofday, SYS_time, SYS_getcpu}) EXPECT_EQ(Ask(nr), SECCOMP_RET_TRAP);
}

TEST_F(TraceeFilterTest, AllElseKills) {
  for (const int nr : {SYS_read, SYS_write, SYS_open, SYS_openat, SYS_execve, SYS_socket, SYS_clone3,
                       SYS_ptrace, SYS_kill, SYS_sendmsg, SYS_fork}) {
    EXPECT_EQ(Ask(nr), SECCOMP_RET_KILL_PROCESS) << nr;
  }
  EXPECT_EQ(Ask(SYS_mmap, 0, AUDIT_ARCH_I386), SECCOMP_RET_KILL_PROCESS);
}

}  // namespace
}  // namespace cloister::filter
