#include "sentry/task/task_signals.h"

#include "sentry/task/container_table.h"
#include "sentry/task/process_timers.h"
#include "sentry/task/task.h"

namespace cloister::task {

using signal::SignalSet;

void TaskSignals::UpdateWorkPendingLocked() {
  const bool excused = tracee_.tracer != nullptr && stopped_.load(std::memory_order_relaxed);
  const bool standing =
      (group_->stop != ThreadGroup::Stop::kNone && !excused) || ContainerTable::Get().IsFrozen(*group_);
  const bool asked = tracee_.trap_stop || tracee_.trap_notify || !errands_.empty();
  const bool signals = !((pending_.set() | group_->pending.set()).Without(mask_)).empty();
  work_pending_.store(killed_ || standing || signals || asked, std::memory_order_seq_cst);
}

pid_t TaskSignals::TracerTid() const {
  absl::MutexLock lock(&kernel().tree_mu());
  return tracee_.tracer != nullptr ? tracee_.tracer->tid() : 0;
}

void TaskSignals::DiscardPendingLocked(SignalSet set) { pending_.Discard(set); }

std::optional<siginfo_t> TaskSignals::TakeSignal(SignalSet wanted) {
  std::optional<siginfo_t> taken;
  {
    absl::MutexLock lock(&kernel().tree_mu());
    taken = pending_.Take(wanted);
    if (!taken.has_value()) taken = group_->pending.Take(wanted);
    UpdateWorkPendingLocked();
  }
  if (taken.has_value()) group_->TellTimersOfTaken(*taken);
  return taken;
}

void TaskSignals::DiscardPending(SignalSet set) {
  {
    absl::MutexLock lock(&kernel().tree_mu());
    group_->pending.Discard(set);
    for (Task* task : group_->tasks) task->DiscardPendingLocked(set);
  }
  if (ProcessTimers* timers = group_->timers_if_any()) timers->OnDiscarded(set);
}

void TaskSignals::DiscardTimer(ThreadGroup& group, int timer_id) {
  absl::MutexLock lock(&Kernel::tree_mu());
  group.pending.DiscardTimer(timer_id);
  for (Task* task : group.tasks) static_cast<TaskSignals*>(task)->pending_.DiscardTimer(timer_id);
}

SignalSet TaskSignals::PendingSet() {
  absl::MutexLock lock(&kernel().tree_mu());
  return pending_.set() | group_->pending.set();
}

SignalSet TaskSignals::OwnPendingSet() {
  absl::MutexLock lock(&kernel().tree_mu());
  return pending_.set();
}

// Signals of the process that this task does not take any more go to another. Linux:
// retarget_shared_pending.
void TaskSignals::ChangeMaskLocked(SignalSet mask) {
  const SignalSet waiting = (group_->pending.set() & mask).Without(mask_);
  mask_ = mask.Without(signal::kUnblockable);
  if (waiting.empty()) return;
  for (Task* task : group_->tasks) task->LookForSignalsLocked(waiting);
}

void TaskSignals::SetSignalMask(SignalSet mask) {
  absl::MutexLock lock(&kernel().tree_mu());
  ChangeMaskLocked(mask);
  UpdateWorkPendingLocked();
}

void TaskSignals::SetTemporaryMask(SignalSet mask) {
  absl::MutexLock lock(&kernel().tree_mu());
  if (!saved_mask_.has_value()) saved_mask_ = mask_;
  ChangeMaskLocked(mask);
  UpdateWorkPendingLocked();
}

}  // namespace cloister::task
