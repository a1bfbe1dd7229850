// ptrace(2): attaching, seizing, group stops, permissions, and the end of a tracer.

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>

#include <cstdio>
#include <string>

#include "tests/util/files.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"
#include "tests/util/tracee.h"

namespace cloister::tests {
namespace {

constexpr int StopStatus(int signal) { return (signal | PTRACE_EVENT_STOP << 8) << 8 | 0x7f; }

void Spin() {
  for (;;) sched_yield();
}

// A system call of the shape that is worth patching.
extern "C" long plain_call();
asm(".text\n.globl plain_call\nplain_call: mov $39, %eax\n syscall\n ret\n nop\n");

// A line "name:\t…" of /proc/PID/status.
std::string StatusLine(pid_t pid, const std::string& name) {
  const std::string text = ReadFile("/proc/" + std::to_string(pid) + "/status");
  const size_t at = text.find("\n" + name + ":\t");
  if (at == std::string::npos) return "";
  const size_t begin = at + name.size() + 3;
  return text.substr(begin, text.find('\n', begin) - begin);
}

TEST(PtraceAttachTest, AttachStopsAndDetachResumes) {
  Child child([] { Spin(); });
  ASSERT_THAT(Ptrace(PTRACE_ATTACH, child.pid()), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child.pid(), __WALL), StoppedBy(SIGSTOP));
  EXPECT_EQ(StatusLine(child.pid(), "TracerPid"), std::to_string(getpid()));
  EXPECT_EQ(StatusLine(child.pid(), "State"), "t (tracing stop)");
  EXPECT_EQ(ProcessState(child.pid()), 't');
  EXPECT_THAT(Ptrace(PTRACE_ATTACH, child.pid()), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(Ptrace(PTRACE_DETACH, child.pid()), SyscallSucceeds());
  EXPECT_EQ(StatusLine(child.pid(), "TracerPid"), "0");
  EXPECT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'R'; }));
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallFailsWithErrno(ESRCH));
}

TEST(PtraceAttachTest, CodeIsReadAsItWasWritten) {
  int ends[2];
  ASSERT_THAT(pipe(ends), SyscallSucceeds());
  Child child([&] {
    for (int i = 0; i < 1000; ++i) plain_call();
    CHILD_CHECK(write(ends[1], "x", 1) == 1);
    for (;;) plain_call();
  });
  char byte;
  ASSERT_THAT(read(ends[0], &byte, 1), SyscallSucceedsWithValue(1));
  ASSERT_THAT(Ptrace(PTRACE_ATTACH, child.pid()), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child.pid(), __WALL), StoppedBy(SIGSTOP));
  uint8_t code[sizeof(uint64_t)];
  ASSERT_THAT(Ptrace(PTRACE_PEEKTEXT, child.pid(), reinterpret_cast<uint64_t>(plain_call), code),
              SyscallSucceeds());
  EXPECT_THAT(code, ::testing::ElementsAre(0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3));
  EXPECT_THAT(Ptrace(PTRACE_DETACH, child.pid()), SyscallSucceeds());
}

TEST(PtraceAttachTest, OneThatSleepsGoesOnSleeping) {
  int ends[2];
  ASSERT_THAT(pipe(ends), SyscallSucceeds());
  Child child([&] {
    char byte;
    CHILD_CHECK(read(ends[0], &byte, 1) == 1);
    _exit(byte);
  });
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  ASSERT_THAT(Ptrace(PTRACE_ATTACH, child.pid()), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child.pid(), __WALL), StoppedBy(SIGSTOP));
  user_regs_struct regs = {};
  EXPECT_THAT(Ptrace(PTRACE_GETREGS, child.pid(), 0, &regs), SyscallSucceeds());
  EXPECT_EQ(regs.orig_rax, uint64_t{SYS_read});
  EXPECT_EQ(static_cast<int64_t>(regs.rax), -512);  // ERESTARTSYS
  EXPECT_THAT(Ptrace(PTRACE_DETACH, child.pid()), SyscallSucceeds());
  ASSERT_EQ(write(ends[1], "\7", 1), 1);
  EXPECT_THAT(child.Wait(), ExitedWith(7));
  close(ends[0]);
  close(ends[1]);
}

TEST(PtraceAttachTest, DetachMayDeliverASignal) {
  Child child([] { Spin(); });
  ASSERT_THAT(Ptrace(PTRACE_ATTACH, child.pid()), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child.pid(), __WALL), StoppedBy(SIGSTOP));
  EXPECT_THAT(Ptrace(PTRACE_DETACH, child.pid(), 0, SIGTERM), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), KilledBy(SIGTERM));
}

TEST(PtraceAttachTest, NobodyAttachesToHimself) {
  EXPECT_THAT(Ptrace(PTRACE_ATTACH, getpid()), SyscallFailsWithErrno(EPERM));
  ScopedThread thread([] {});
  EXPECT_THAT(Ptrace(PTRACE_ATTACH, 999999), SyscallFailsWithErrno(ESRCH));
}

TEST(PtraceAttachTest, ATraceeThatRunsHasNothingToTell) {
  Child child([] { Spin(); });
  ASSERT_THAT(Ptrace(PTRACE_SEIZE, child.pid(), 0, PTRACE_O_EXITKILL), SyscallSucceeds());
  user_regs_struct regs;
  EXPECT_THAT(Ptrace(PTRACE_GETREGS, child.pid(), 0, &regs), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(Ptrace(PTRACE_DETACH, child.pid()), SyscallFailsWithErrno(ESRCH));
  int status;
  EXPECT_THAT(waitpid(child.pid(), &status, WNOHANG | __WALL), SyscallSucceedsWithValue(0));
}

TEST(PtraceAttachTest, SeizeTakesOptionsAndNoAddress) {
  Child child([] { Spin(); });
  EXPECT_THAT(Ptrace(PTRACE_SEIZE, child.pid(), 1, uint64_t{0}), SyscallFailsWithErrno(EIO));
  EXPECT_THAT(Ptrace(PTRACE_SEIZE, child.pid(), 0, 1 << 30), SyscallFailsWithErrno(EIO));
}

TEST(PtraceAttachTest, InterruptStopsWithoutASignal) {
  Child child([] { Spin(); });
  ASSERT_THAT(Ptrace(PTRACE_SEIZE, child.pid(), 0, PTRACE_O_EXITKILL), SyscallSucceeds());
  ASSERT_THAT(Ptrace(PTRACE_INTERRUPT, child.pid()), SyscallSucceeds());
  ASSERT_EQ(WaitStatus(child.pid(), __WALL), StopStatus(SIGTRAP));
  siginfo_t info = {};
  EXPECT_THAT(Ptrace(PTRACE_GETSIGINFO, child.pid(), 0, &info), SyscallSucceeds());
  EXPECT_EQ(info.si_code, SIGTRAP | PTRACE_EVENT_STOP << 8);
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallSucceeds());
  // In a stop it changes nothing but the next one.
  ASSERT_THAT(Ptrace(PTRACE_INTERRUPT, child.pid()), SyscallSucceeds());
  ASSERT_EQ(WaitStatus(child.pid(), __WALL), StopStatus(SIGTRAP));
  ASSERT_THAT(Ptrace(PTRACE_INTERRUPT, child.pid()), SyscallSucceeds());
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallSucceeds());
  ASSERT_EQ(WaitStatus(child.pid(), __WALL), StopStatus(SIGTRAP));
}

TEST(PtraceAttachTest, InterruptOfACallStartsItAgain) {
  int ends[2];
  ASSERT_THAT(pipe(ends), SyscallSucceeds());
  Child child([&] {
    char byte;
    CHILD_CHECK(read(ends[0], &byte, 1) == 1);
    _exit(byte);
  });
  ASSERT_THAT(Ptrace(PTRACE_SEIZE, child.pid(), 0, PTRACE_O_TRACESYSGOOD), SyscallSucceeds());
  ASSERT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'S'; }));
  ASSERT_THAT(Ptrace(PTRACE_INTERRUPT, child.pid()), SyscallSucceeds());
  ASSERT_EQ(WaitStatus(child.pid(), __WALL), StopStatus(SIGTRAP));
  EXPECT_THAT(Ptrace(PTRACE_SYSCALL, child.pid()), SyscallSucceeds());
  ASSERT_EQ(WaitStatus(child.pid(), __WALL), kSyscallStop);
  user_regs_struct regs = {};
  EXPECT_THAT(Ptrace(PTRACE_GETREGS, child.pid(), 0, &regs), SyscallSucceeds());
  EXPECT_EQ(regs.orig_rax, uint64_t{SYS_read});
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallSucceeds());
  ASSERT_EQ(write(ends[1], "\7", 1), 1);
  EXPECT_THAT(child.Wait(), ExitedWith(7));
  close(ends[0]);
  close(ends[1]);
}

TEST(PtraceAttachTest, AGroupStopOfASeizedOne) {
  Child child([] { Spin(); });
  ASSERT_THAT(setpgid(child.pid(), 0), SyscallSucceeds());  // in an orphaned group SIGTSTP stops nobody
  ASSERT_THAT(Ptrace(PTRACE_SEIZE, child.pid(), 0, PTRACE_O_EXITKILL), SyscallSucceeds());
  ASSERT_THAT(kill(child.pid(), SIGTSTP), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child.pid(), __WALL), StoppedBy(SIGTSTP));  // the signal
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid(), 0, SIGTSTP), SyscallSucceeds());
  ASSERT_EQ(WaitStatus(child.pid(), __WALL), StopStatus(SIGTSTP));  // the stop
  // It stays stopped, and its tracer is free.
  ASSERT_THAT(Ptrace(PTRACE_LISTEN, child.pid()), SyscallSucceeds());
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallFailsWithErrno(ESRCH));
  ASSERT_THAT(kill(child.pid(), SIGCONT), SyscallSucceeds());
  ASSERT_EQ(WaitStatus(child.pid(), __WALL), StopStatus(SIGTRAP));
  EXPECT_THAT(Ptrace(PTRACE_CONT, child.pid()), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child.pid(), __WALL), StoppedBy(SIGCONT));
}

TEST(PtraceAttachTest, AGroupStopOfAnAttachedOne) {
  Tracee tracee([] {
    CHILD_CHECK(setpgid(0, 0) == 0);
    raise(SIGTSTP);
    return 4;
  });
  EXPECT_THAT(tracee.Run(PTRACE_CONT), StoppedBy(SIGTSTP));
  EXPECT_THAT(tracee.Run(PTRACE_CONT, SIGTSTP), StoppedBy(SIGTSTP));
  siginfo_t info;
  EXPECT_THAT(Ptrace(PTRACE_GETSIGINFO, tracee.pid(), 0, &info), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(tracee.Run(PTRACE_CONT), ExitedWith(4));  // it runs, whatever its group does
}

TEST(PtraceAttachTest, AStoppedProcessCanBeSeized) {
  Child child([] { Spin(); });
  ASSERT_THAT(kill(child.pid(), SIGSTOP), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(child.pid(), WUNTRACED), StoppedBy(SIGSTOP));
  ASSERT_THAT(Ptrace(PTRACE_SEIZE, child.pid(), 0, uint64_t{0}), SyscallSucceeds());
  ASSERT_EQ(WaitStatus(child.pid(), __WALL), StopStatus(SIGSTOP));
  EXPECT_THAT(Ptrace(PTRACE_DETACH, child.pid()), SyscallSucceeds());
  EXPECT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'T'; }));
  ASSERT_THAT(kill(child.pid(), SIGCONT), SyscallSucceeds());
  EXPECT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'R'; }));
}

// Forks a tracer of `child` that ends at once.
void TraceAndEnd(pid_t child, long options) {
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(Ptrace(PTRACE_SEIZE, child, 0, options) == 0);
                CHILD_CHECK(Ptrace(PTRACE_INTERRUPT, child) == 0);
                int status;
                CHILD_CHECK(waitpid(child, &status, __WALL) == child);
              }),
              ExitedWith(0));
}

TEST(PtraceAttachTest, ATracerThatEndsLeavesItRunning) {
  Child child([] { Spin(); });
  TraceAndEnd(child.pid(), 0);
  EXPECT_EQ(StatusLine(child.pid(), "TracerPid"), "0");
  EXPECT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'R'; }));
}

TEST(PtraceAttachTest, ATracerThatEndsKillsWithTheOption) {
  Child child([] { Spin(); });
  TraceAndEnd(child.pid(), PTRACE_O_EXITKILL);
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
}

// The tracer is neither its parent nor hears of nothing: both wait for it, the tracer first.
TEST(PtraceAttachTest, TracerAndParentBothHearOfTheEnd) {
  Child child([] { Spin(); });
  Child tracer([&] {
    CHILD_CHECK(Ptrace(PTRACE_SEIZE, child.pid(), 0, uint64_t{0}) == 0);
    CHILD_CHECK(kill(child.pid(), SIGKILL) == 0);
    siginfo_t info = {};
    CHILD_CHECK(waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT | __WALL) == 0);
    int status;
    CHILD_CHECK(waitpid(child.pid(), &status, __WALL) == child.pid());
    CHILD_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHILD_CHECK(waitpid(child.pid(), &status, __WALL) == -1 && errno == ECHILD);
  });
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
  EXPECT_THAT(tracer.Wait(), ExitedWith(0));
}

TEST(PtraceAttachTest, AnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP();
  Child child([] { Spin(); });
  EXPECT_THAT(InChild([&] {
                BecomeUser(12345, 12345);
                CHILD_CHECK(Ptrace(PTRACE_ATTACH, child.pid()) == -1 && errno == EPERM);
                CHILD_CHECK(Ptrace(PTRACE_SEIZE, child.pid()) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

// Forks one of user 12345 that is dumpable or not, and attaches to it as the same user.
void AttachAsTheSameUser(bool dumpable, int error) {
  int ends[2];
  ASSERT_THAT(pipe(ends), SyscallSucceeds());
  Child child([&] {
    BecomeUser(12345, 12345);
    CHILD_CHECK(prctl(PR_SET_DUMPABLE, dumpable) == 0);
    CHILD_CHECK(write(ends[1], "x", 1) == 1);
    Spin();
  });
  char byte;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);
  EXPECT_THAT(InChild([&] {
                BecomeUser(12345, 12345);
                const long result = Ptrace(PTRACE_SEIZE, child.pid());
                CHILD_CHECK(error == 0 ? result == 0 : result == -1 && errno == error);
              }),
              ExitedWith(0));
  close(ends[0]);
  close(ends[1]);
}

TEST(PtraceAttachTest, TheSameUserMayWhereItIsDumpable) {
  if (geteuid() != 0) GTEST_SKIP();
  AttachAsTheSameUser(true, 0);
  AttachAsTheSameUser(false, EPERM);
}

TEST(PtraceAttachTest, AThreadOfAnotherProcessIsATraceeOfItsOwn) {
  int ends[2];
  ASSERT_THAT(pipe(ends), SyscallSucceeds());
  Child child([&] {
    ScopedThread thread([&] {
      const pid_t tid = static_cast<pid_t>(syscall(SYS_gettid));
      CHILD_CHECK(write(ends[1], &tid, sizeof tid) == sizeof tid);
      Spin();
    });
    Spin();
  });
  pid_t tid = 0;
  ASSERT_EQ(read(ends[0], &tid, sizeof tid), static_cast<ssize_t>(sizeof tid));
  ASSERT_THAT(Ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_EXITKILL), SyscallSucceeds());
  ASSERT_THAT(Ptrace(PTRACE_INTERRUPT, tid), SyscallSucceeds());
  ASSERT_EQ(WaitStatus(tid, __WALL), StopStatus(SIGTRAP));
  EXPECT_THAT(Ptrace(PTRACE_INTERRUPT, child.pid()), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(kill(child.pid(), SIGKILL), SyscallSucceeds());
  EXPECT_THAT(WaitStatus(tid, __WALL), KilledBy(SIGKILL));
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace cloister::tests
