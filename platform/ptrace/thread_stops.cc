// From a stop of the host thread to a trap, and back to the guest.

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include <utility>

#include "base/log/log.h"
#include "platform/ptrace/fault.h"
#include "platform/ptrace/tracer.h"
#include "platform/stub/tracee_layout.h"

namespace cloister::ptrace {
namespace {

using platform::Trap;

constexpr int kCallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
constexpr int kSysSeccomp = 1;             // si_code of SIGSYS
constexpr uint64_t kUserCs = 0x33;         // asm/segment.h: __USER_CS and __USER_DS
constexpr uint64_t kUserSs = 0x2b;
constexpr uint64_t kCallBytes = 2;

// Whether the guest was stopped by the instruction `syscall` of 64-bit code, which leaves rip in rcx.
bool IsSyscall(const platform::Registers& regs, Space& space) {
  if (regs.cs != kUserCs) return false;
  if (regs.rcx == regs.rip) return true;
  unsigned char code[kCallBytes] = {};
  space.Read(regs.rip - kCallBytes, std::as_writable_bytes(std::span(code)));
  return code[0] != 0xcd;  // int
}

}  // namespace

// What is not the guest's to choose, and what sigreturn(2) makes of bad selectors.
void Thread::ResumeAt(uint64_t rip, platform::Registers regs, Activity activity) {
  regs.rip = rip;
  regs.orig_rax = ~uint64_t{0};  // nothing for the host to restart
  regs.fs_base = bases_.fs_base;
  regs.gs_base = bases_.gs_base;
  regs.ds = bases_.ds;
  regs.es = bases_.es;
  regs.fs = bases_.fs;
  regs.gs = bases_.gs;
  regs.cs = regs.cs == 0 ? kUserCs : (regs.cs | 3) & 0xffff;
  regs.ss = regs.ss == 0 ? kUserSs : (regs.ss | 3) & 0xffff;
  activity_ = activity;
  const int failed = tracee().SetRegisters(regs);
  if (failed == ESRCH) return;
  if (failed != 0) {
    runs_guest_.store(false);
    ReportFault(ProtectionFault());
  } else if (activity == Activity::kGuest) {
    tracee().RunGuest();
  } else {
    tracee().RunHost();
  }
}

void Thread::RunGuest() {
  if (std::exchange(bad_fp_, false)) {
    ReportFault(ProtectionFault());
    return;
  }
  runs_guest_.store(true);
  if (interrupt_.exchange(false)) {
    runs_guest_.store(false);
    Report({.kind = Trap::Kind::kInterrupt});
    return;
  }
  ResumeAt(regs_.rip, regs_, Activity::kGuest);
}

void Thread::Report(const Trap& trap) {
  activity_ = Activity::kNothing;
  const bool keeps_call = trap.kind == Trap::Kind::kSyscall || trap.kind == Trap::Kind::kOpsDone;
  if (!keeps_call) regs_.orig_rax = ~uint64_t{0};
  const Ref<Thread> self(this);
  state_.store(State::kStopped);
  handler_->OnTrap(*this, trap);
}

void Thread::ReportFault(const platform::Fault& fault) {
  Report({.kind = Trap::Kind::kFault, .fault = fault});
}

void Thread::OnBirth(pid_t tid, const platform::Registers& regs) {
  token_ = 0;
  tid_.store(tid);
  bases_ = regs;
  if (tls_.has_value()) bases_.fs_base = *tls_;
  activity_ = Activity::kNothing;
  if (is_process_) process_->Bind(tid);
  switch (birth_) {
    case Birth::kRuns:
      RunGuest();
      return;
    case Birth::kStopped:
      if (answered_unborn_) CarryOut();
      return;
    case Birth::kReports:
      Report({.kind = Trap::Kind::kOpsDone});
      return;
  }
}

void Thread::OnStop(int status) {
  switch (activity_) {
    case Activity::kGuest:
      OnGuestStop(status);
      return;
    case Activity::kOps:
    case Activity::kClone:
    case Activity::kExit:
      OnHostStop(status);
      return;
    case Activity::kUnborn:
    case Activity::kNothing:
      LOG(kError, "host thread %d stopped twice, status %x", tid_.load(), status);
      return;
  }
}

void Thread::OnGuestStop(int status) {
  const int event = status >> 8;
  if (event != 0) {
    tracee().RunGuest();
  } else if (status == kCallStop) {
    OnGuestCall();
  } else {
    OnGuestSignal();
  }
}

void Thread::OnGuestCall() {
  runs_guest_.store(false);
  if (tracee().GetRegisters(&regs_) != 0) return;
  bases_ = regs_;
  regs_.rax = regs_.orig_rax;
  if (!IsSyscall(regs_, *space_)) {
    regs_.rip -= kCallBytes;
    ReportFault(CompatCallFault());
    return;
  }
  Report({.kind = Trap::Kind::kSyscall});
}

void Thread::OnGuestSignal() {
  siginfo_t info = {};
  if (tracee().GetSignal(&info) != 0) return;
  const bool vsyscall = info.si_signo == SIGSYS && info.si_code == kSysSeccomp;
  const bool interrupt = info.si_signo == stub::kInterruptSignal && interrupt_.load();
  if (!vsyscall && !interrupt && !IsFault(info)) {
    tracee().RunGuest();  // sent from outside, or an interrupt that has been reported
    return;
  }
  runs_guest_.store(false);
  if (tracee().GetRegisters(&regs_) != 0) return;
  bases_ = regs_;
  if (vsyscall) {
    regs_.orig_rax = static_cast<uint64_t>(info.si_syscall);
    Report({.kind = Trap::Kind::kSyscall});
  } else if (interrupt) {
    interrupt_.store(false);
    Report({.kind = Trap::Kind::kInterrupt});
  } else {
    ReportFault(Describe(info, regs_, *space_));
  }
}

// The result of what was injected, once it has ended; an interrupt that came meanwhile waits in interrupt_.
std::optional<int64_t> Thread::HostResult(int signo) {
  if (signo != SIGTRAP && signo != SIGSEGV && signo != SIGBUS) {
    tracee().RunHost();
    return std::nullopt;
  }
  platform::Registers regs;
  if (tracee().GetRegisters(&regs) != 0) return std::nullopt;
  const bool in_gate = regs.rip > stub::kTraceeGate && regs.rip < stub::kTraceeGateEnd;
  if (signo == SIGTRAP && in_gate) return static_cast<int64_t>(regs.rax);
  if (signo != SIGTRAP && regs.rip == stub::kTraceeExchange) return -EFAULT;
  LOG(kError, "host thread %d got signal %d at %x in a call of ours", tid_.load(), signo, regs.rip);
  process_->Kill();
  return std::nullopt;
}

void Thread::OnHostStop(int status) {
  const int event = status >> 8;
  if (event != 0) {
    tracee().RunHost();
    return;
  }
  const std::optional<int64_t> result = HostResult(status);
  if (!result.has_value()) return;
  if (activity_ == Activity::kOps) {
    OnOpResult(*result);
  } else if (activity_ == Activity::kClone) {
    OnCloneResult(*result);
  }
}

void Thread::Leave() {
  platform::Registers regs = {};
  regs.rax = SYS_exit;
  ResumeAt(stub::kTraceeGate, regs, Activity::kExit);
}

}  // namespace cloister::ptrace
