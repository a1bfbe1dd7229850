// What a task does about signals, stops and its own end before it runs guest code again.
// Linux: get_signal, handle_signal and do_signal_stop.

#include <sys/syscall.h>

#include <utility>

#include "sentry/task/container_table.h"
#include "sentry/task/ptrace.h"
#include "sentry/task/task.h"
#include "sentry/wait/parker.h"

namespace cloister::task {

using signal::Action;
using signal::Default;
using signal::SignalSet;

bool Task::SignalToDeliver() {
  if (!interrupted()) return false;
  absl::MutexLock lock(&kernel().tree_mu());
  return killed_ || !((pending_.set() | group_->pending.set()).Without(mask_)).empty() ||
         Ptrace::HasTrapLocked(*this);
}

// True: this task has to stand still now, and is counted. Linux: do_signal_stop, the freezer. A tracee
// traps instead.
bool Task::ShouldStandStillLocked() {
  if (group_->stop == ThreadGroup::Stop::kNone || tracee_.tracer != nullptr)
    return ContainerTable::Get().IsFrozen(*group_);
  JoinGroupStopLocked();
  return true;
}

// Linux: task_participate_group_stop.
void Task::JoinGroupStopLocked() {
  if (!stopped_.exchange(true, std::memory_order_acq_rel)) {
    ++group_->stopped_tasks;
    if (group_->stop == ThreadGroup::Stop::kStopping &&
        group_->stopped_tasks >= static_cast<int>(group_->tasks.size())) {
      group_->stop = ThreadGroup::Stop::kStopped;
      group_->stop_reported = false;
      group_->continue_reported = true;
      // A parent that traces it hears of the stop as a tracer.
      if (group_->parent == nullptr || !Ptrace::TracedByLocked(*group_, *group_->parent))
        NotifyParentLocked(*group_, CLD_STOPPED, group_->stop_signal);
    }
  }
}

// A tracee may run while its process is stopped, and receive a further stop signal: the tracees join anew.
void Task::BeginGroupStopLocked(int signo) {
  if (group_->stop == ThreadGroup::Stop::kNone) {
    group_->stop = ThreadGroup::Stop::kStopping;
    group_->stop_signal = signo;
    group_->stopped_tasks = 0;
  }
  for (Task* task : group_->tasks) {
    if (task->traced() && task->stopped_.exchange(false, std::memory_order_acq_rel)) --group_->stopped_tasks;
    if (task == this) continue;
    Ptrace::NotifyLocked(*task);
    task->MarkWorkLocked();
  }
  work_pending_.store(true, std::memory_order_release);
}

// What is to be done next, decided under one hold of the tree's lock.
Task::NextWork Task::TakeWork(siginfo_t* info) {
  absl::MutexLock lock(&kernel().tree_mu());
  if (killed_) return NextWork::kDie;
  if (!errands_.empty()) return NextWork::kErrand;
  if (Ptrace::HasTrapLocked(*this) && !ContainerTable::Get().IsFrozen(*group_)) {
    Ptrace::EnterTrapLocked(*this);
    return NextWork::kTraced;
  }
  if (ShouldStandStillLocked()) {
    // Whoever ends the stop interrupts after this: the wake is then remembered.
    Arm(Block());
    return NextWork::kStandStill;
  }
  for (;;) {
    std::optional<siginfo_t> taken = pending_.Take(~mask_);
    if (!taken.has_value()) taken = group_->pending.Take(~mask_);
    if (taken.has_value()) {
      *info = *taken;
      if (tracee_.tracer == nullptr || taken->si_signo == SIGKILL) return NextWork::kSignal;
      Ptrace::EnterSignalLocked(*this, *taken);
      return NextWork::kTraced;
    }
    if (!saved_mask_.has_value()) break;
    mask_ = *std::exchange(saved_mask_, std::nullopt);
  }
  UpdateWorkPendingLocked();
  return NextWork::kNothing;
}

Task::Delivery Task::DoPendingWork() {
  for (;;) {
    siginfo_t info;
    switch (TakeWork(&info)) {
      case NextWork::kNothing:
        SettleRestart(nullptr);
        return Delivery::kNone;
      case NextWork::kDie:
        End();
        return Delivery::kGivenAway;
      case NextWork::kErrand:
        if (Errands::Begin(*this)) return Delivery::kGivenAway;
        break;
      case NextWork::kTraced: {
        if (Ptrace::Wait(*this)) return Delivery::kGivenAway;
        const std::optional<siginfo_t> injected = Ptrace::TakeInjected(*this);
        if (injected && TakeSignalAction(*injected) == Delivery::kGivenAway) return Delivery::kGivenAway;
        break;
      }
      case NextWork::kStandStill:
        call_.reset();
        if (ParkThread()) return Delivery::kGivenAway;
        Disarm();
        break;
      case NextWork::kSignal:
        group_->TellTimersOfTaken(info);
        if (TakeSignalAction(info) == Delivery::kGivenAway) return Delivery::kGivenAway;
        break;
    }
  }
}

// One signal, as its action says.
Task::Delivery Task::TakeSignalAction(const siginfo_t& info) {
  const Action action = group_->actions->TakeForDelivery(info.si_signo);
  if (action.is_ignore()) return Delivery::kNone;
  if (!action.is_default()) return DeliverToHandler(info, action) ? Delivery::kGivenAway : Delivery::kNone;
  // Linux: SIGNAL_UNKILLABLE. It was blocked when it came, or its handler has gone since.
  if (group_->is_container_init && !signal::kUnblockable.Has(info.si_signo)) return Delivery::kNone;
  switch (signal::DefaultOf(info.si_signo)) {
    case Default::kIgnore:
    case Default::kContinue:
      return Delivery::kNone;
    case Default::kStop: {
      absl::MutexLock lock(&kernel().tree_mu());
      if (info.si_signo == SIGSTOP || !OrphanedGroupLocked(*group_)) BeginGroupStopLocked(info.si_signo);
      return Delivery::kNone;
    }
    case Default::kTerminate:
    case Default::kCore:
      Exit(info.si_signo, true);
      return Delivery::kGivenAway;
  }
  return Delivery::kNone;
}

// A syscall that was interrupted: again, or EINTR. action: the handler that runs now, or null.
void Task::SettleRestart(const Action* action) {
  platform::Registers& regs = thread_->regs();
  if (static_cast<int64_t>(regs.orig_rax) < 0) return;
  const int64_t rax = static_cast<int64_t>(regs.rax);
  bool again = true;
  uint64_t number = regs.orig_rax;
  switch (-rax) {
    case static_cast<int64_t>(Restart::kSys):
      again = action == nullptr || (action->flags & SA_RESTART) != 0;
      break;
    case static_cast<int64_t>(Restart::kNoIntr):
      break;
    case static_cast<int64_t>(Restart::kNoHand):
      again = action == nullptr;
      break;
    case static_cast<int64_t>(Restart::kRestartBlock):
      again = action == nullptr;
      number = SYS_restart_syscall;
      break;
    default:
      return;
  }
  if (again) {
    regs.rax = number;
    regs.rip -= 2;  // the length of `syscall`
  } else {
    restart_call.reset();
    regs.rax = static_cast<uint64_t>(-EINTR);
  }
  regs.orig_rax = ~uint64_t{0};
}

// Sets the handler up. True: the task runs operations now (given away). False: no frame could be
// built; SIGSEGV is pending.
bool Task::DeliverToHandler(const siginfo_t& info, const Action& action) {
  SettleRestart(&action);
  signal::FrameRequest request;
  request.info = info;
  request.action = action;
  request.alt_stack = alt_stack;
  request.fault = last_fault_;
  request.fp_state_size = kernel().platform().fp_state_size();
  {
    absl::MutexLock lock(&kernel().tree_mu());
    request.saved_mask = saved_mask_.value_or(mask_);
  }
  const ErrnoOr<platform::HostOp> store = signal::BuildFrame(space(), request, thread_->regs());
  if (!store.ok()) {
    siginfo_t fault = {};
    fault.si_signo = SIGSEGV;
    fault.si_code = SI_KERNEL;
    if (info.si_signo == SIGSEGV) group_->actions->Set(SIGSEGV, Action());
    ForceSignal(fault);
    return false;
  }
  if (alt_stack.flags & signal::kSsAutodisarm) alt_stack = signal::AltStack();
  {
    absl::MutexLock lock(&kernel().tree_mu());
    saved_mask_.reset();
    SignalSet mask = mask_ | SignalSet(action.mask);
    if (!(action.flags & SA_NODEFER)) mask.Add(info.si_signo);
    ChangeMaskLocked(mask);
    UpdateWorkPendingLocked();
  }
  const platform::HostOp ops[] = {*store};
  RunOps(AfterOps::kSignalFrame, ops,
         MustSeeEnd() ? platform::AfterOps::kReport : platform::AfterOps::kResume);
  return true;
}

void Task::Sigreturn() {
  const ErrnoOr<signal::Restored> restored = signal::ReadFrame(space(), thread_->regs());
  call_.reset();
  if (!restored.ok()) {
    siginfo_t info = {};
    info.si_signo = SIGSEGV;
    info.si_code = SI_KERNEL;
    ForceSignal(info);
    ReturnToGuest();
    return;
  }
  thread_->regs() = restored->regs;
  alt_stack = restored->alt_stack;
  SetSignalMask(restored->mask);
  if (restored->fp_state == 0) {
    LeaveSyscall();
    return;
  }
  const platform::HostOp ops[] = {platform::HostOp::LoadFpState(restored->fp_state)};
  RunOps(AfterOps::kSigreturn, ops, MustSeeEnd() ? platform::AfterOps::kReport : platform::AfterOps::kResume);
}

}  // namespace cloister::task
