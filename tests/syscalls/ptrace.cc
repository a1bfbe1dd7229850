// ptrace(2): PTRACE_TRACEME and the stops of a tracee.

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <cstring>

#include "tests/util/tracee.h"

namespace cloister::tests {
namespace {

TEST(PtraceTest, TraceMeMakesSignalsStop) {
  Tracee tracee([] {
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);  // even one that is ignored
    raise(SIGTERM);
    return 3;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGUSR1));
  EXPECT_THAT(tracee.Run(PTRACE_CONT, SIGUSR1), StoppedBy(SIGTERM));
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(3));
}

TEST(PtraceTest, TraceMeTwiceIsRefused) {
  Tracee tracee([] {
    CHILD_CHECK(Ptrace(PTRACE_TRACEME, 0) == -1 && errno == EPERM);
    return 0;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

TEST(PtraceTest, AnotherSignalMayBeDeliveredInstead) {
  Tracee tracee([] {
    static volatile sig_atomic_t seen = 0;
    static volatile pid_t sender = 0;
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = [](int signo, siginfo_t* info, void*) {
      seen = signo;
      sender = info->si_pid;
    };
    sigaction(SIGUSR2, &action, nullptr);
    raise(SIGUSR1);
    return seen == SIGUSR2 && sender == getppid() ? 0 : 1;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGUSR1));
  const siginfo_t info = tracee.SignalInfo();
  EXPECT_EQ(info.si_signo, SIGUSR1);
  EXPECT_EQ(info.si_code, SI_TKILL);
  EXPECT_EQ(info.si_pid, tracee.pid());
  EXPECT_THAT(tracee.Run(PTRACE_CONT, SIGUSR2), ExitedWith(0));
}

TEST(PtraceTest, SignalInfoCanBeChanged) {
  Tracee tracee([] {
    static volatile int value = 0;
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = [](int, siginfo_t* info, void*) { value = info->si_value.sival_int; };
    sigaction(SIGUSR1, &action, nullptr);
    raise(SIGUSR1);
    return value;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGUSR1));
  siginfo_t info = tracee.SignalInfo();
  info.si_value.sival_int = 42;
  EXPECT_THAT(Ptrace(PTRACE_SETSIGINFO, tracee.pid(), 0, &info), SyscallSucceeds());
  EXPECT_THAT(tracee.Run(PTRACE_CONT, SIGUSR1), ExitedWith(42));
}

TEST(PtraceTest, AFatalSignalStopsFirstAndKillsThen) {
  Tracee tracee([] {
    raise(SIGTERM);
    return 0;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTERM));
  EXPECT_THAT(tracee.Run(PTRACE_CONT, SIGTERM), KilledBy(SIGTERM));
}

TEST(PtraceTest, SigkillEndsAStop) {
  Tracee tracee([] { return 0; });
  EXPECT_THAT(kill(tracee.pid(), SIGKILL), SyscallSucceeds());
  EXPECT_THAT(tracee.Wait(), KilledBy(SIGKILL));
}

TEST(PtraceTest, PtraceKill) {
  Tracee tracee([] { return 0; });
  EXPECT_THAT(Ptrace(PTRACE_KILL, tracee.pid()), SyscallSucceeds());
  EXPECT_THAT(tracee.Wait(), KilledBy(SIGKILL));
}

TEST(PtraceTest, CallsStopAtEntryAndExit) {
  Tracee tracee([] {
    syscall(SYS_getppid);
    return 0;
  });
  ASSERT_EQ(tracee.RunToCall(SYS_getppid), kSyscallStop);
  EXPECT_EQ(tracee.EventMessage(), kAtEntry);
  EXPECT_EQ(static_cast<int64_t>(tracee.Registers().rax), -ENOSYS);
  EXPECT_EQ(tracee.SignalInfo().si_code, SIGTRAP | 0x80);
  ASSERT_EQ(tracee.Run(PTRACE_SYSCALL), kSyscallStop);
  EXPECT_EQ(tracee.EventMessage(), kAtExit);
  EXPECT_EQ(static_cast<pid_t>(tracee.Registers().rax), getpid());
  EXPECT_EQ(tracee.Registers().orig_rax, uint64_t{SYS_getppid});
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

TEST(PtraceTest, WithoutSysGoodItIsAPlainSigtrap) {
  Tracee tracee([] { return 0; }, 0);
  EXPECT_THAT(tracee.Run(PTRACE_SYSCALL), StoppedBy(SIGTRAP));
  EXPECT_EQ(tracee.SignalInfo().si_code, SIGTRAP);
}

TEST(PtraceTest, SyscallInfoTellsOfBothEnds) {
  Tracee tracee([] {
    syscall(SYS_close, -1L, 2, 3, 4, 5, 6);
    return 0;
  });
  struct __ptrace_syscall_info info = {};
  EXPECT_THAT(Ptrace(PTRACE_GET_SYSCALL_INFO, tracee.pid(), sizeof info, &info),
              SyscallSucceedsWithValue(24));
  EXPECT_EQ(info.op, PTRACE_SYSCALL_INFO_NONE);
  ASSERT_EQ(tracee.RunToCall(SYS_close), kSyscallStop);
  EXPECT_THAT(Ptrace(PTRACE_GET_SYSCALL_INFO, tracee.pid(), sizeof info, &info),
              SyscallSucceedsWithValue(80));
  EXPECT_EQ(info.op, PTRACE_SYSCALL_INFO_ENTRY);
  EXPECT_EQ(info.arch, 0xc000003eu);
  EXPECT_EQ(info.entry.nr, uint64_t{SYS_close});
  EXPECT_EQ(info.entry.args[0], ~uint64_t{0});
  EXPECT_EQ(info.entry.args[5], 6u);
  EXPECT_EQ(info.instruction_pointer, tracee.Registers().rip);
  ASSERT_EQ(tracee.Run(PTRACE_SYSCALL), kSyscallStop);
  EXPECT_THAT(Ptrace(PTRACE_GET_SYSCALL_INFO, tracee.pid(), 4, &info), SyscallSucceedsWithValue(33));
  EXPECT_EQ(info.op, PTRACE_SYSCALL_INFO_EXIT);
  EXPECT_THAT(Ptrace(PTRACE_GET_SYSCALL_INFO, tracee.pid(), sizeof info, &info),
              SyscallSucceedsWithValue(33));
  EXPECT_EQ(info.exit.rval, -EBADF);
  EXPECT_EQ(info.exit.is_error, 1);
}

TEST(PtraceTest, ACallCanBeReplacedAndItsResultToo) {
  Tracee tracee([] {
    if (syscall(SYS_getppid) != getpid()) return 1;
    return syscall(SYS_getppid) == 77 ? 0 : 2;
  });
  ASSERT_EQ(tracee.RunToCall(SYS_getppid), kSyscallStop);
  user_regs_struct regs = tracee.Registers();
  regs.orig_rax = SYS_getpid;
  tracee.SetRegisters(regs);
  ASSERT_EQ(tracee.Run(PTRACE_SYSCALL), kSyscallStop);
  EXPECT_EQ(static_cast<pid_t>(tracee.Registers().rax), tracee.pid());
  ASSERT_EQ(tracee.RunToCall(SYS_getppid), kSyscallStop);
  ASSERT_EQ(tracee.Run(PTRACE_SYSCALL), kSyscallStop);
  regs = tracee.Registers();
  regs.rax = 77;
  tracee.SetRegisters(regs);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

TEST(PtraceTest, ACallCanBeLeftOut) {
  Tracee tracee(
      [] { return syscall(SYS_close, 0) == -1 && errno == ENOSYS && fcntl(0, F_GETFD) >= 0 ? 0 : 1; });
  ASSERT_EQ(tracee.RunToCall(SYS_close), kSyscallStop);
  user_regs_struct regs = tracee.Registers();
  regs.orig_rax = ~uint64_t{0};
  tracee.SetRegisters(regs);
  ASSERT_EQ(tracee.Run(PTRACE_SYSCALL), kSyscallStop);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

TEST(PtraceTest, SysemuLeavesTheCallToTheTracer) {
  Tracee tracee([] { return syscall(SYS_getppid) == 5 ? 0 : 1; });
  // What raise(3) still had to do is done.
  ASSERT_EQ(tracee.RunToCall(SYS_getppid), kSyscallStop);
  user_regs_struct regs = tracee.Registers();
  regs.rip -= 2;
  regs.rax = regs.orig_rax;
  regs.orig_rax = ~uint64_t{0};
  tracee.SetRegisters(regs);  // skipped, and made once more
  ASSERT_EQ(tracee.Run(PTRACE_SYSCALL), kSyscallStop);
  regs.rax = SYS_getppid;
  tracee.SetRegisters(regs);
  ASSERT_EQ(tracee.Run(PTRACE_SYSEMU), kSyscallStop);
  regs = tracee.Registers();
  ASSERT_EQ(regs.orig_rax, uint64_t{SYS_getppid});
  regs.rax = 5;
  tracee.SetRegisters(regs);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

TEST(PtraceTest, RequestsOfBadKindAreRefused) {
  Tracee tracee([] { return 0; });
  EXPECT_THAT(Ptrace(9999, tracee.pid()), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_CONT, tracee.pid(), 0, 65), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_SETOPTIONS, tracee.pid(), 0, 1 << 30), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Ptrace(PTRACE_INTERRUPT, tracee.pid()), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_LISTEN, tracee.pid()), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_CONT, getpid()), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(Ptrace(PTRACE_CONT, 0), SyscallFailsWithErrno(ESRCH));
}

TEST(PtraceTest, OfForkBothStop) {
  Tracee tracee(
      [] {
        const pid_t child = fork();
        if (child == 0) _exit(7);
        int status;
        CHILD_CHECK(waitpid(child, &status, 0) == child);
        return WEXITSTATUS(status);
      },
      PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL);
  ASSERT_EQ(tracee.Run(PTRACE_CONT), EventStatus(PTRACE_EVENT_FORK));
  const auto child = static_cast<pid_t>(tracee.EventMessage());
  EXPECT_THAT(WaitStatus(child, __WALL), StoppedBy(SIGSTOP));
  EXPECT_THAT(Ptrace(PTRACE_CONT, child), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child, __WALL), ExitedWith(7));
  EXPECT_THAT(Ptrace(PTRACE_CONT, tracee.pid()), SyscallSucceeds());
  const int status = tracee.Wait();
  EXPECT_THAT(status, StoppedBy(SIGCHLD));
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(7));
}

TEST(PtraceTest, VforkTellsOfItsEndToo) {
  Tracee tracee(
      [] {
        const pid_t child = vfork();
        if (child == 0) _exit(7);
        int status;
        CHILD_CHECK(waitpid(child, &status, 0) == child);
        return WEXITSTATUS(status);
      },
      PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_EXITKILL);
  ASSERT_EQ(tracee.Run(PTRACE_CONT), EventStatus(PTRACE_EVENT_VFORK));
  const auto child = static_cast<pid_t>(tracee.EventMessage());
  EXPECT_THAT(WaitStatus(child, __WALL), StoppedBy(SIGSTOP));
  EXPECT_THAT(Ptrace(PTRACE_CONT, tracee.pid()), SyscallSucceeds());
  EXPECT_THAT(Ptrace(PTRACE_CONT, child), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child, __WALL), ExitedWith(7));
  ASSERT_EQ(tracee.Wait(), EventStatus(PTRACE_EVENT_VFORK_DONE));
  EXPECT_EQ(static_cast<pid_t>(tracee.EventMessage()), child);
  int status = tracee.Run(PTRACE_CONT);
  if (WIFSTOPPED(status)) status = tracee.Run(PTRACE_CONT);  // SIGCHLD, where it came before the wait
  EXPECT_THAT(status, ExitedWith(7));
}

TEST(PtraceTest, AThreadStopsBeforeItRuns) {
  static volatile int ran;
  Tracee tracee(
      [] {
        static char stack[64 << 10] __attribute__((aligned(16)));
        constexpr int kFlags =
            CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
        const auto body = [](void*) {
          ran = 1;
          syscall(SYS_exit, 0);
          return 0;
        };
        CHILD_CHECK(clone(body, stack + sizeof stack, kFlags, nullptr) > 0);
        while (ran == 0) sched_yield();
        return 5;
      },
      PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
  ASSERT_EQ(tracee.Run(PTRACE_CONT), EventStatus(PTRACE_EVENT_CLONE));
  const auto thread = static_cast<pid_t>(tracee.EventMessage());
  EXPECT_THAT(WaitStatus(thread, __WALL), StoppedBy(SIGSTOP));
  EXPECT_EQ(static_cast<int>(tracee.Peek(&ran)), 0);
  EXPECT_THAT(Ptrace(PTRACE_CONT, thread), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(thread, __WALL), ExitedWith(0));
  EXPECT_EQ(static_cast<int>(tracee.Peek(&ran)), 1);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(5));
}

TEST(PtraceTest, ExecStopsBeforeTheFirstInstruction) {
  Tracee tracee(
      [] {
        execl("/proc/self/exe", "self", "--gtest_list_tests", "--gtest_filter=none", nullptr);
        return 1;
      },
      PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  ASSERT_EQ(tracee.Run(PTRACE_CONT), EventStatus(PTRACE_EVENT_EXEC));
  EXPECT_EQ(static_cast<pid_t>(tracee.EventMessage()), tracee.pid());
  ASSERT_EQ(tracee.Run(PTRACE_SYSCALL), kSyscallStop);
  EXPECT_EQ(tracee.EventMessage(), kAtExit);
  EXPECT_EQ(tracee.Registers().orig_rax, uint64_t{SYS_execve});
  EXPECT_EQ(tracee.Registers().rax, 0u);
  EXPECT_THAT(kill(tracee.pid(), SIGKILL), SyscallSucceeds());
  EXPECT_THAT(tracee.Wait(), KilledBy(SIGKILL));
}

TEST(PtraceTest, ExecWithoutTheOptionIsASigtrap) {
  Tracee tracee(
      [] {
        execl("/proc/self/exe", "self", "--gtest_list_tests", "--gtest_filter=none", nullptr);
        return 1;
      },
      PTRACE_O_EXITKILL);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTRAP));
  EXPECT_EQ(tracee.SignalInfo().si_code, SI_USER);
}

TEST(PtraceTest, ExitStopsOnceMore) {
  Tracee tracee([] { return 9; }, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL);
  ASSERT_EQ(tracee.Run(PTRACE_CONT), EventStatus(PTRACE_EVENT_EXIT));
  EXPECT_EQ(tracee.EventMessage(), uint64_t{9 << 8});
  EXPECT_NE(tracee.Registers().rip, 0u);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(9));
}

TEST(PtraceTest, ExitOfASignalStopsOnceMore) {
  Tracee tracee(
      [] {
        raise(SIGTERM);
        return 9;
      },
      PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL);
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTERM));
  ASSERT_EQ(tracee.Run(PTRACE_CONT, SIGTERM), EventStatus(PTRACE_EVENT_EXIT));
  EXPECT_EQ(tracee.EventMessage(), uint64_t{SIGTERM});
  EXPECT_THAT(tracee.Run(PTRACE_CONT), KilledBy(SIGTERM));
}

TEST(PtraceTest, WaitIdTellsTheWholeCode) {
  Tracee tracee([] { return 9; }, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL);
  EXPECT_THAT(Ptrace(PTRACE_CONT, tracee.pid()), SyscallSucceeds());
  siginfo_t info = {};
  EXPECT_THAT(waitid(P_PID, static_cast<id_t>(tracee.pid()), &info, WSTOPPED | WEXITED | WNOWAIT),
              SyscallSucceeds());
  EXPECT_EQ(info.si_code, CLD_TRAPPED);
  EXPECT_EQ(info.si_status, SIGTRAP | PTRACE_EVENT_EXIT << 8);
  EXPECT_EQ(tracee.Wait(), EventStatus(PTRACE_EVENT_EXIT));  // not taken by WNOWAIT
  int status;
  EXPECT_THAT(waitpid(tracee.pid(), &status, WNOHANG), SyscallSucceedsWithValue(0));
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(9));
}

TEST(PtraceTest, TheMaskIsSeenAndSet) {
  Tracee tracee([] {
    sigset_t set;
    sigprocmask(SIG_BLOCK, nullptr, &set);
    return sigismember(&set, SIGUSR2) ? 0 : 1;
  });
  uint64_t mask = ~uint64_t{0};
  EXPECT_THAT(Ptrace(PTRACE_GETSIGMASK, tracee.pid(), 8, &mask), SyscallSucceeds());
  EXPECT_EQ(mask, 0u);
  EXPECT_THAT(Ptrace(PTRACE_GETSIGMASK, tracee.pid(), 4, &mask), SyscallFailsWithErrno(EINVAL));
  mask = ~uint64_t{0};
  EXPECT_THAT(Ptrace(PTRACE_SETSIGMASK, tracee.pid(), 8, &mask), SyscallSucceeds());
  EXPECT_THAT(Ptrace(PTRACE_GETSIGMASK, tracee.pid(), 8, &mask), SyscallSucceeds());
  EXPECT_EQ(mask, ~uint64_t{0} & ~(1ul << (SIGKILL - 1)) & ~(1ul << (SIGSTOP - 1)));
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(0));
}

TEST(PtraceTest, PendingSignalsAreSeen) {
  Tracee tracee([] { return 0; });
  uint64_t mask = ~uint64_t{0};
  EXPECT_THAT(Ptrace(PTRACE_SETSIGMASK, tracee.pid(), 8, &mask), SyscallSucceeds());
  sigqueue(tracee.pid(), SIGRTMIN, {.sival_int = 1});
  sigqueue(tracee.pid(), SIGRTMIN, {.sival_int = 2});
  siginfo_t infos[4] = {};
  struct __ptrace_peeksiginfo_args args = {0, PTRACE_PEEKSIGINFO_SHARED, 4};
  const auto from = reinterpret_cast<uint64_t>(&args);
  EXPECT_THAT(Ptrace(PTRACE_PEEKSIGINFO, tracee.pid(), from, infos), SyscallSucceedsWithValue(2));
  EXPECT_EQ(infos[1].si_value.sival_int, 2);
  args.off = 1;
  EXPECT_THAT(Ptrace(PTRACE_PEEKSIGINFO, tracee.pid(), from, infos), SyscallSucceedsWithValue(1));
  EXPECT_EQ(infos[0].si_value.sival_int, 2);
  args.flags = 0;
  EXPECT_THAT(Ptrace(PTRACE_PEEKSIGINFO, tracee.pid(), from, infos), SyscallSucceedsWithValue(0));
  args.nr = -1;
  EXPECT_THAT(Ptrace(PTRACE_PEEKSIGINFO, tracee.pid(), from, infos), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace cloister::tests
