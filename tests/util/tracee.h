#ifndef CLOISTER_TESTS_UTIL_TRACEE_H_
#define CLOISTER_TESTS_UTIL_TRACEE_H_

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "gtest/gtest.h"
#include "tests/util/child.h"
#include "tests/util/matchers.h"

namespace cloister::tests {

// ptrace(2) itself: what glibc's wrapper of PEEKs makes of it is not to be tested.
inline long Ptrace(int request, pid_t pid, uint64_t addr = 0, uint64_t data = 0) {
  return syscall(SYS_ptrace, request, pid, addr, data);
}
template <typename T>
long Ptrace(int request, pid_t pid, uint64_t addr, T* data) {
  return Ptrace(request, pid, addr, reinterpret_cast<uint64_t>(data));
}

constexpr int EventStatus(int event) { return (SIGTRAP | event << 8) << 8 | 0x7f; }
constexpr int kSyscallStop = (SIGTRAP | 0x80) << 8 | 0x7f;
// PTRACE_GETEVENTMSG of such a stop.
constexpr uint64_t kAtEntry = 1, kAtExit = 2;

// A child that is traced by this thread and has stopped by SIGSTOP before it runs `body`; then exits
// with what that returns.
class Tracee {
 public:
  template <typename Body>
  explicit Tracee(Body body, long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)
      : child_([&body] {
          CHILD_CHECK(Ptrace(PTRACE_TRACEME, 0) == 0);
          CHILD_CHECK(raise(SIGSTOP) == 0);
          _exit(body());
        }) {
    EXPECT_THAT(WaitStatus(pid(), __WALL), StoppedBy(SIGSTOP));
    EXPECT_THAT(Ptrace(PTRACE_SETOPTIONS, pid(), 0, options), SyscallSucceeds());
  }

  pid_t pid() const { return child_.pid(); }
  // Resumes it, and gives the status of its next stop or end.
  int Run(int request, int signal = 0) {
    EXPECT_THAT(Ptrace(request, pid(), 0, signal), SyscallSucceeds());
    return Wait();
  }
  int Wait() { return WaitStatus(pid(), __WALL); }
  // Runs to the next stop at a call by this number: its entry, or its exit.
  int RunToCall(long number) {
    for (;;) {
      const int status = Run(PTRACE_SYSCALL);
      if (status != kSyscallStop || static_cast<long>(Registers().orig_rax) == number) return status;
    }
  }
  user_regs_struct Registers() {
    user_regs_struct regs = {};
    EXPECT_THAT(Ptrace(PTRACE_GETREGS, pid(), 0, &regs), SyscallSucceeds());
    return regs;
  }
  void SetRegisters(user_regs_struct regs) {
    EXPECT_THAT(Ptrace(PTRACE_SETREGS, pid(), 0, &regs), SyscallSucceeds());
  }
  uint64_t Peek(const volatile void* addr) {
    uint64_t word = 0;
    EXPECT_THAT(Ptrace(PTRACE_PEEKDATA, pid(), reinterpret_cast<uint64_t>(addr), &word), SyscallSucceeds());
    return word;
  }
  uint64_t EventMessage() {
    unsigned long message = 0;
    EXPECT_THAT(Ptrace(PTRACE_GETEVENTMSG, pid(), 0, &message), SyscallSucceeds());
    return message;
  }
  siginfo_t SignalInfo() {
    siginfo_t info = {};
    EXPECT_THAT(Ptrace(PTRACE_GETSIGINFO, pid(), 0, &info), SyscallSucceeds());
    return info;
  }

 private:
  Child child_;
};

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_TRACEE_H_
