#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/seccomp.h"
#include "tests/util/thread.h"
#include "tests/util/tracee.h"

// seccomp(2): filters of children, threads, programs and tracees.
namespace cloister::tests {
namespace {

class SeccompTasksTest : public testing::Test {
 protected:
  void SetUp() override {
    if (prctl(PR_GET_SECCOMP) != 0) GTEST_SKIP() << "runs under a filter already";
  }
};

bool FailsWith(long result, int error) { return result == -1 && errno == error; }
bool Denied(long result) { return FailsWith(result, kFiltered); }

// ---- Children and programs ----

TEST_F(SeccompTasksTest, ChildrenInherit) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid})) == 0);
                CHILD_CHECK(InChild([] {
                              CHILD_CHECK(Denied(Getppid()));
                              CHILD_CHECK(StatusOf("self", "Seccomp_filters") == "1");
                              CHILD_CHECK(InstallFilter(Answering({SYS_getuid})) == 0);
                              CHILD_CHECK(Denied(Getuid()));
                            }) == 0);
                CHILD_CHECK(Denied(Getppid()) && Getuid() == 0);
                ScopedThread thread([] { CHILD_CHECK(Denied(Getppid())); });
              }),
              ExitedWith(0));
}

TEST_F(SeccompTasksTest, AVforkedChildInherits) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid})) == 0);
                const pid_t child = vfork();
                if (child == 0) _exit(Denied(Getppid()) ? 3 : 4);
                CHILD_CHECK(WIFEXITED(WaitStatus(child)));
              }),
              ExitedWith(0));
}

constexpr const char* kHelper = "--gtest_filter=SeccompTasksHelper.DISABLED_LooksAround";

TEST(SeccompTasksHelper, DISABLED_LooksAround) {
  const bool denied = Denied(Getppid());
  _exit(denied && prctl(PR_GET_SECCOMP) == 2 ? 5 : 6);
}

TEST_F(SeccompTasksTest, AProgramKeepsThem) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid})) == 0);
                execl("/proc/self/exe", "self", kHelper, "--gtest_also_run_disabled_tests", nullptr);
              }),
              ExitedWith(5));
}

TEST_F(SeccompTasksTest, ExecveIsACallToo) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_execve})) == 0);
                CHILD_CHECK(Denied(execl("/bin/true", "true", nullptr)));
              }),
              ExitedWith(0));
}

TEST_F(SeccompTasksTest, ForkMayBeForbidden) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_clone, SYS_clone3, SYS_fork, SYS_vfork})) == 0);
                CHILD_CHECK(Denied(fork()));
                CHILD_CHECK(Denied(syscall(SYS_vfork)));
              }),
              ExitedWith(0));
}

// ---- Threads ----

// A thread that makes calls of gettid(2) all the time, and counts those that are wrong after `strict`.
class Caller {
 public:
  Caller()
      : thread_([this] {
          while (!stop_.load()) {
            const bool must_fail = strict_.load();
            const long result = syscall(SYS_gettid);
            if (must_fail && !Denied(result)) ++passed_;
            ++calls_;
          }
        }) {}
  void Expect() { strict_.store(true); }
  long calls() const { return calls_.load(); }
  long End() {
    stop_.store(true);
    thread_.Join();
    return passed_.load();
  }
  pid_t tid() { return thread_.tid(); }

 private:
  std::atomic<bool> strict_{false}, stop_{false};
  std::atomic<long> calls_{0}, passed_{0};
  ScopedThread thread_;
};

TEST_F(SeccompTasksTest, AFilterIsOfOneThread) {
  EXPECT_THAT(InChild([] {
                Caller other;
                const std::string task = "self/task/" + std::to_string(other.tid());
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid})) == 0);
                CHILD_CHECK(Denied(Getppid()));
                CHILD_CHECK(StatusOf(task, "Seccomp") == "0");
                ScopedThread young([] { CHILD_CHECK(Denied(Getppid())); });
                CHILD_CHECK(other.End() == 0);
              }),
              ExitedWith(0));
}

// After the call has returned no thread gets a forbidden call through, however it is answered.
TEST_F(SeccompTasksTest, TsyncHoldsForAllThreadsAtOnce) {
  for (int round = 0; round < 10; ++round) {
    ASSERT_THAT(InChild([] {
                  Caller callers[3];
                  CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
                  for (Caller& caller : callers)
                    CHILD_CHECK(YieldUntil([&] { return caller.calls() > 200; }));
                  CHILD_CHECK(InstallFilter(Answering({SYS_gettid}), SECCOMP_FILTER_FLAG_TSYNC) == 0);
                  for (Caller& caller : callers) caller.Expect();
                  for (Caller& caller : callers) {
                    const long from = caller.calls();
                    CHILD_CHECK(YieldUntil([&] { return caller.calls() > from + 200; }));
                    const std::string task = "self/task/" + std::to_string(caller.tid());
                    CHILD_CHECK(StatusOf(task, "Seccomp") == "2" && StatusOf(task, "NoNewPrivs") == "1");
                  }
                  for (Caller& caller : callers) CHILD_CHECK(caller.End() == 0);
                }),
                ExitedWith(0));
  }
}

TEST_F(SeccompTasksTest, TsyncReachesThreadsThatAreJustMade) {
  ASSERT_THAT(InChild([] {
                std::atomic<bool> synced{false}, stop{false};
                std::atomic<int> passed{0}, made{0};
                ScopedThread maker([&] {
                  while (!stop.load()) {
                    const bool must_fail = synced.load();
                    ScopedThread young([&] { passed += must_fail && !Denied(Getppid()); });
                    young.Join();
                    ++made;
                  }
                });
                CHILD_CHECK(YieldUntil([&] { return made.load() > 10; }));
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid}), SECCOMP_FILTER_FLAG_TSYNC) == 0);
                synced.store(true);
                const int from = made.load();
                CHILD_CHECK(YieldUntil([&] { return made.load() > from + 20; }));
                stop.store(true);
                maker.Join();
                CHILD_CHECK(passed.load() == 0);
              }),
              ExitedWith(0));
}

TEST_F(SeccompTasksTest, ThreadsThatSyncAtTheSameTime) {
  EXPECT_THAT(InChild([] {
                std::atomic<int> failed{0};
                {
                  std::vector<std::unique_ptr<ScopedThread>> threads;
                  for (int i = 0; i < 4; ++i) {
                    threads.push_back(std::make_unique<ScopedThread>([&] {
                      for (int k = 0; k < 5; ++k)
                        failed += InstallFilter(Answering({SYS_getppid}), SECCOMP_FILTER_FLAG_TSYNC) != 0;
                    }));
                  }
                }
                CHILD_CHECK(failed.load() == 0);
                CHILD_CHECK(StatusOf("self", "Seccomp_filters") == "20");
              }),
              ExitedWith(0));
}

TEST_F(SeccompTasksTest, TsyncNamesAThreadWithFiltersOfItsOwn) {
  EXPECT_THAT(
      InChild([] {
        std::atomic<int> step{0};
        ScopedThread other([&] {
          CHILD_CHECK(InstallFilter(Answering({SYS_getuid})) == 0);
          step.store(1);
          step.notify_all();
          step.wait(1);
          CHILD_CHECK(Getppid() > 0);
        });
        step.wait(0);
        constexpr unsigned kTsync = SECCOMP_FILTER_FLAG_TSYNC;
        CHILD_CHECK(InstallFilter(Answering({SYS_getppid}), kTsync) == other.tid());
        CHILD_CHECK(FailsWith(
            InstallFilter(Answering({SYS_getppid}), kTsync | SECCOMP_FILTER_FLAG_TSYNC_ESRCH), ESRCH));
        CHILD_CHECK(prctl(PR_GET_SECCOMP) == 0 && Getppid() > 0);
        step.store(2);
        step.notify_all();
      }),
      ExitedWith(0));
}

TEST_F(SeccompTasksTest, TsyncExtendsAFilterThatBothHave) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(InstallFilter(Answering({SYS_getuid})) == 0);
                Caller other;
                CHILD_CHECK(InstallFilter(Answering({SYS_getppid})) == 0);
                CHILD_CHECK(InstallFilter(Answering({SYS_getgid}), SECCOMP_FILTER_FLAG_TSYNC) == 0);
                CHILD_CHECK(StatusOf("self/task/" + std::to_string(other.tid()), "Seccomp_filters") == "3");
                CHILD_CHECK(other.End() == 0);
              }),
              ExitedWith(0));
}

TEST_F(SeccompTasksTest, KillThreadLeavesTheOthers) {
  EXPECT_THAT(InChild([] {
                std::atomic<bool> survived{false};
                ScopedThread victim([&] {
                  CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_KILL_THREAD)) == 0);
                  Getppid();
                  survived.store(true);
                });
                victim.Join();
                CHILD_CHECK(!survived.load() && Getppid() > 0);
                _exit(3);
              }),
              ExitedWith(3));
}

TEST_F(SeccompTasksTest, KillProcessEndsAllThreads) {
  EXPECT_THAT(InChild([] {
                ScopedThread victim([] {
                  CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_KILL_PROCESS)) == 0);
                  Getppid();
                });
                victim.Join();
                _exit(3);
              }),
              KilledBy(SIGSYS));
}

TEST_F(SeccompTasksTest, StrictModeIsOfOneThread) {
  EXPECT_THAT(InChild([] {
                ScopedThread victim([] {
                  CHILD_CHECK(Seccomp(SECCOMP_SET_MODE_STRICT, 0, nullptr) == 0);
                  Getppid();
                });
                CHILD_CHECK(YieldUntil(
                    [&] { return ProcessState(getpid()) != 0 && StatusOf("self", "Threads") == "1"; }));
                victim.Join();
                _exit(Getppid() > 0 ? 3 : 4);
              }),
              ExitedWith(3));
}

// ---- Tracees ----

constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP;

// Makes one call of getppid(2), which the filter gives to the tracer; exits with 1 if it gave its parent,
// else with what it gave or its errno.
template <typename Prepare>
int TracedBody(Prepare prepare) {
  const pid_t parent = Getppid();
  CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_TRACE | 0x1234)) == 0);
  prepare();
  const long result = syscall(SYS_getppid);
  return result == parent ? 1 : result == -1 ? errno : static_cast<int>(result);
}
int Traced() {
  return TracedBody([] {});
}

TEST_F(SeccompTasksTest, ATracerHearsOfTheCall) {
  Tracee tracee(Traced, kOptions);
  ASSERT_EQ(tracee.Run(PTRACE_CONT), EventStatus(PTRACE_EVENT_SECCOMP));
  EXPECT_EQ(tracee.EventMessage(), 0x1234u);
  EXPECT_EQ(tracee.Registers().orig_rax, uint64_t{SYS_getppid});
  EXPECT_EQ(static_cast<int64_t>(tracee.Registers().rax), -ENOSYS);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(1));
}

TEST_F(SeccompTasksTest, ATracerMakesAnotherCallOfIt) {
  Tracee tracee(Traced, kOptions);
  ASSERT_EQ(tracee.Run(PTRACE_CONT), EventStatus(PTRACE_EVENT_SECCOMP));
  user_regs_struct regs = tracee.Registers();
  regs.orig_rax = SYS_getuid;
  tracee.SetRegisters(regs);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

TEST_F(SeccompTasksTest, ATracerSkipsTheCall) {
  Tracee tracee(Traced, kOptions);
  ASSERT_EQ(tracee.Run(PTRACE_CONT), EventStatus(PTRACE_EVENT_SECCOMP));
  user_regs_struct regs = tracee.Registers();
  regs.orig_rax = ~uint64_t{0};
  regs.rax = 55;
  tracee.SetRegisters(regs);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(55));
}

TEST_F(SeccompTasksTest, WhatATracerMakesOfItIsFilteredToo) {
  Tracee tracee([] { return TracedBody([] { CHILD_CHECK(InstallFilter(Answering({SYS_getuid})) == 0); }); },
                kOptions);
  ASSERT_EQ(tracee.Run(PTRACE_CONT), EventStatus(PTRACE_EVENT_SECCOMP));
  user_regs_struct regs = tracee.Registers();
  regs.orig_rax = SYS_getuid;
  tracee.SetRegisters(regs);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(kFiltered));
}

TEST_F(SeccompTasksTest, ATracerThatDidNotAskHearsNothing) {
  Tracee tracee(Traced);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(ENOSYS));
}

TEST_F(SeccompTasksTest, TheStopAtEntryComesBeforeTheFilters) {
  Tracee tracee(
      [] {
        CHILD_CHECK(InstallFilter(Answering({SYS_getppid}, SECCOMP_RET_KILL_PROCESS)) == 0);
        return syscall(SYS_getppid) == 0 ? 7 : 8;
      },
      kOptions);
  ASSERT_EQ(tracee.RunToCall(SYS_getppid), kSyscallStop);
  user_regs_struct regs = tracee.Registers();
  regs.orig_rax = SYS_getuid;
  tracee.SetRegisters(regs);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(7));
}

TEST_F(SeccompTasksTest, BothEndsOfATracedCall) {
  Tracee tracee(Traced, kOptions);
  ASSERT_EQ(tracee.RunToCall(SYS_getppid), kSyscallStop);  // the body's first, before the filter: entry
  ASSERT_EQ(tracee.Run(PTRACE_SYSCALL), kSyscallStop);     // and exit
  ASSERT_EQ(tracee.RunToCall(SYS_getppid), kSyscallStop);
  EXPECT_EQ(tracee.Run(PTRACE_SYSCALL), EventStatus(PTRACE_EVENT_SECCOMP));
  EXPECT_EQ(tracee.Run(PTRACE_SYSCALL), kSyscallStop);
  EXPECT_EQ(tracee.EventMessage(), kAtExit);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(1));
}

}  // namespace
}  // namespace cloister::tests
