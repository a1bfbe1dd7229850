// The stops of a tracee. Linux: ptrace_stop, ptrace_signal, do_jobctl_trap and ptrace_report_syscall.

#include <linux/ptrace.h>
#include <signal.h>

#include <utility>

#include "sentry/task/ptrace.h"
#include "sentry/task/seccomp.h"
#include "sentry/wait/parker.h"

namespace cloister::task {
namespace {

using platform::Registers;

constexpr int kSyscallBit = 0x80;  // PTRACE_O_TRACESYSGOOD

constexpr int EventCode(int signo, int event) { return signo | event << 8; }

// Linux: ptrace_do_notify.
siginfo_t NotifyInfo(const Task& task, int signo, int code) {
  siginfo_t info = {};
  info.si_signo = signo;
  info.si_code = code;
  info.si_pid = task.tid();
  const auth::CredRef cred = task.GetCred();
  info.si_uid = cred ? cred->uid : 0;
  return info;
}

TraceStop NotifyStop(const Task& task, int code, uint64_t message) {
  TraceStop stop;
  stop.code = code;
  stop.message = message;
  stop.info = NotifyInfo(task, SIGTRAP, code);
  return stop;
}

siginfo_t TrapInfo(Task& task, int code) {
  siginfo_t info = {};
  info.si_signo = SIGTRAP;
  info.si_code = code;
  info.si_addr = reinterpret_cast<void*>(task.regs().rip);
  return info;
}

// Linux: do_notify_parent_cldstop.
void TellTracerLocked(Task& tracer, const Task& task, const TraceStop& stop)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
  ThreadGroup& group = tracer.group();
  wait::WakeScope::NotifyLater(Ref<RefCounted>(&group), group.child_queue, wait::Poll::kIn);
  const signal::Action action = group.actions->Get(SIGCHLD);
  if (action.is_ignore() || (action.flags & SA_NOCLDSTOP)) return;
  siginfo_t info = NotifyInfo(task, SIGCHLD, stop.cause);
  info.si_status = stop.code & 0x7f;
  Task::SendToGroupLocked(group, info);
}

}  // namespace

void Ptrace::EnterLocked(Task& task, const TraceStop& stop, AfterStop then) {
  Tracee& tracee = task.tracee_;
  tracee.stop = stop;
  tracee.listening = false;
  tracee.resume_signal = 0;
  // Any stop makes up for one that was asked for.
  tracee.trap_stop = false;
  if (stop.info && stop.info->si_code >> 8 == PTRACE_EVENT_STOP) tracee.trap_notify = false;
  task.after_stop_ = then;
  task.Arm(Block());
  task.trace_stopped_.store(true, std::memory_order_release);
  if (stop.cause == CLD_STOPPED && task.group().stop != ThreadGroup::Stop::kNone) task.JoinGroupStopLocked();
  TellTracerLocked(*tracee.tracer, task, stop);
}

bool Ptrace::Stop(Task& task, const TraceStop& stop, AfterStop then) {
  {
    absl::MutexLock lock(&Kernel::tree_mu());
    if (task.tracee_.tracer == nullptr || task.killed_) return false;
    EnterLocked(task, stop, then);
  }
  if (!Wait(task)) GoOn(task);
  return true;
}

Ptrace::Look Ptrace::LookLocked(Task& task) {
  Tracee& tracee = task.tracee_;
  if (!task.errands_.empty() && (!task.killed_ || tracee.ending)) return Look::kErrand;
  const bool again = tracee.listening && (tracee.trap_stop || tracee.trap_notify);
  const bool killed = task.killed_ && !tracee.ending;
  if (task.trace_stopped() && !again && !killed) return Look::kStay;
  task.trace_stopped_.store(false, std::memory_order_release);
  task.injected_ = tracee.stop.info;
  task.injected_signal_ = std::exchange(tracee.resume_signal, 0);
  tracee.stop = TraceStop();
  tracee.listening = tracee.ending = tracee.busy = false;
  tracee.extra.reset();
  task.UpdateWorkPendingLocked();
  return Look::kGoOn;
}

bool Ptrace::Wait(Task& task) {
  for (;;) {
    Look look;
    {
      absl::MutexLock lock(&Kernel::tree_mu());
      look = LookLocked(task);
    }
    switch (look) {
      case Look::kErrand:
        if (Errands::Begin(task)) return true;
        break;
      case Look::kStay:
        if (task.Park()) return true;
        break;
      case Look::kGoOn:
        task.Disarm();
        return false;
    }
  }
}

void Ptrace::OnWake(Task& task) {
  if (!Wait(task)) GoOn(task);
}

// A stop at a call that is continued with a signal sends it. Linux: ptrace_report_syscall.
void Ptrace::Inject(Task& task) {
  const int signo = std::exchange(task.injected_signal_, 0);
  if (signal::IsValid(signo)) task.Raise(signo);
}

void Ptrace::GoOn(Task& task) {
  const AfterStop then = task.after_stop_;
  if (then != AfterStop::kSignal) task.after_stop_ = AfterStop::kNothing;
  switch (then) {
    case AfterStop::kSyscallEntry: {
      Inject(task);
      Registers& regs = task.regs();
      if (task.skip_call_ || task.killed_ || static_cast<int>(regs.orig_rax) == -1) {
        task.LeaveSyscall();
      } else {
        task.RunSyscall();
      }
      return;
    }
    case AfterStop::kSeccomp:
      Inject(task);
      Seccomp::AfterTracer(task);
      return;
    case AfterStop::kSyscallExit:
      Inject(task);
      task.AfterSyscall();
      return;
    case AfterStop::kSignal:
      if (const std::optional<siginfo_t> info = TakeInjected(task)) {
        if (task.TakeSignalAction(*info) == Task::Delivery::kGivenAway) return;
      }
      task.AfterSyscall();  // a call that the stop interrupted is settled now
      return;
    case AfterStop::kClone:
      task.EndClone();
      return;
    case AfterStop::kVforkDone:
      task.EndCall(Answer(std::exchange(task.vfork_pid_, 0)));
      return;
    case AfterStop::kExec:
      task.LeaveSyscall();
      return;
    case AfterStop::kExit:
      task.Leave();
      return;
    case AfterStop::kNothing:
    case AfterStop::kHandler:
    case AfterStop::kPendingWork:
      task.AfterSyscall();
      return;
  }
}

std::optional<siginfo_t> Ptrace::TakeInjected(Task& task) {
  const int chosen = std::exchange(task.injected_signal_, 0);
  // What a group stop is continued with is dropped.
  const int signo = std::exchange(task.after_stop_, AfterStop::kNothing) == AfterStop::kSignal ? chosen : 0;
  if (!signal::IsValid(signo)) return std::nullopt;
  siginfo_t info = task.injected_.value_or(siginfo_t{});
  absl::MutexLock lock(&Kernel::tree_mu());
  if (info.si_signo != signo) {  // the tracer's own choice
    info = {};
    info.si_signo = signo;
    info.si_code = SI_USER;
    if (const Task* const tracer = task.tracee_.tracer) {
      info.si_pid = tracer->pid();
      info.si_uid = tracer->GetCred()->uid;
    }
  }
  if (!task.mask_.Has(signo)) return info;
  task.pending_.Add(info, ~size_t{0});
  return std::nullopt;
}

// Either end of a call. Linux: ptrace_report_syscall.
bool Ptrace::StopAtSyscall(Task& task, uint64_t message, AfterStop then) {
  uint32_t options;
  {
    absl::MutexLock lock(&Kernel::tree_mu());
    options = task.tracee_.options;
  }
  const int code = SIGTRAP | ((options & PTRACE_O_TRACESYSGOOD) ? kSyscallBit : 0);
  return Stop(task, NotifyStop(task, code, message), then);
}

bool Ptrace::StopAtSyscallEntry(Task& task) {
  const TraceMode mode = task.trace_mode_.load(std::memory_order_relaxed);
  if (mode == TraceMode::kCont) return false;
  task.skip_call_ = mode == TraceMode::kSysemu;
  task.args_ = SyscallArgs(task.regs());
  task.regs().rax = static_cast<uint64_t>(-ENOSYS);
  return StopAtSyscall(task, PTRACE_EVENTMSG_SYSCALL_ENTRY, AfterStop::kSyscallEntry);
}

void Ptrace::RememberWatched(Task& task) {
  absl::MutexLock lock(&Kernel::tree_mu());
  task.tracee_.debug.Remember(task.space());
}

bool Ptrace::TellsOfStep(Task& task, siginfo_t* info) {
  absl::MutexLock lock(&Kernel::tree_mu());
  const bool hit = task.tracee_.debug.enabled() && task.tracee_.debug.Hit(task.regs().rip, task.space());
  if (hit) info->si_code = TRAP_HWBKPT;
  return hit || task.trace_step_.load(std::memory_order_relaxed);
}

bool Ptrace::StopAtSyscallExit(Task& task) {
  const TraceMode mode = task.trace_mode_.load(std::memory_order_relaxed);
  if (task.trace_step_.load(std::memory_order_relaxed) && mode != TraceMode::kSysemu) {
    task.ForceSignal(TrapInfo(task, TRAP_BRKPT));
    return false;
  }
  if (task.watches_.load(std::memory_order_acquire)) {  // the call may have written there
    siginfo_t info = TrapInfo(task, 0);
    if (TellsOfStep(task, &info)) task.ForceSignal(info);
  }
  if (mode != TraceMode::kSyscall) return false;
  return StopAtSyscall(task, PTRACE_EVENTMSG_SYSCALL_EXIT, AfterStop::kSyscallExit);
}

// A step into a handler ends at its first instruction. Linux: signal_delivered.
bool Ptrace::StopAtHandler(Task& task) {
  if (!task.trace_step_.load(std::memory_order_relaxed)) return false;
  return Stop(task, NotifyStop(task, SIGTRAP, 0), AfterStop::kHandler);
}

bool Ptrace::StopForEvent(Task& task, int event, uint64_t message, AfterStop then) {
  {
    absl::MutexLock lock(&Kernel::tree_mu());
    if ((task.tracee_.options & 1u << event) == 0) return false;
  }
  return Stop(task, NotifyStop(task, EventCode(SIGTRAP, event), message), then);
}

// Linux: ptrace_event with PTRACE_EVENT_EXEC, which tells those who did not ask by a plain SIGTRAP.
void Ptrace::AfterExec(Task& task, pid_t old_tid) {
  if (StopForEvent(task, PTRACE_EVENT_EXEC, static_cast<uint64_t>(old_tid), AfterStop::kExec)) return;
  bool legacy;
  {
    absl::MutexLock lock(&Kernel::tree_mu());
    const Tracee& tracee = task.tracee_;
    legacy = tracee.tracer != nullptr && !tracee.seized && !(tracee.options & PTRACE_O_TRACEEXEC);
  }
  if (legacy) task.SendToThread(NotifyInfo(task, SIGTRAP, SI_USER));
  task.LeaveSyscall();
}

bool Ptrace::StopAtExit(Task& task) {
  {
    absl::MutexLock lock(&Kernel::tree_mu());
    if (task.tracee_.tracer == nullptr || !(task.tracee_.options & PTRACE_O_TRACEEXIT)) return false;
    const bool group = task.group().state != ThreadGroup::State::kRunning;
    const int status = group ? task.group().wait_status : task.exit_status_;
    task.tracee_.options &= ~uint32_t{PTRACE_O_TRACEEXIT};  // once
    task.tracee_.ending = true;
    EnterLocked(task, NotifyStop(task, EventCode(SIGTRAP, PTRACE_EVENT_EXIT), static_cast<uint64_t>(status)),
                AfterStop::kExit);
  }
  if (!Wait(task)) GoOn(task);
  return true;
}

bool Ptrace::HasTrapLocked(const Task& task) {
  const Tracee& tracee = task.tracee_;
  if (tracee.tracer == nullptr) return false;
  const bool group_stop = task.group().stop != ThreadGroup::Stop::kNone && !task.stopped_.load();
  return group_stop || tracee.trap_stop || tracee.trap_notify;
}

void Ptrace::EnterTrapLocked(Task& task) {
  const ThreadGroup& group = task.group();
  const bool group_stop = group.stop != ThreadGroup::Stop::kNone;
  TraceStop stop;
  stop.cause = CLD_STOPPED;
  if (task.tracee_.seized) {
    const int signo = group_stop ? group.stop_signal : SIGTRAP;
    stop.code = EventCode(signo, PTRACE_EVENT_STOP);
    stop.info = NotifyInfo(task, signo, stop.code);
  } else {
    stop.code = group.stop_signal != 0 ? group.stop_signal : SIGSTOP;
  }
  EnterLocked(task, stop, AfterStop::kPendingWork);
}

void Ptrace::EnterSignalLocked(Task& task, const siginfo_t& info) {
  TraceStop stop;
  stop.code = info.si_signo;
  stop.info = info;
  EnterLocked(task, stop, AfterStop::kSignal);
}

}  // namespace cloister::task
