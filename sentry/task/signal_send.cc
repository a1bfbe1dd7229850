// Queueing signals and waking those who are to take them. Linux: kernel/signal.c, send_signal.

#include <unistd.h>

#include "sentry/task/ptrace.h"
#include "sentry/task/task.h"
#include "sentry/wait/parker.h"

namespace cloister::task {
namespace {

using signal::Default;
using signal::SignalSet;

constexpr SignalSet kContinue = SignalSet::Of(SIGCONT);

// From outside the container: runsc kill, the monitor. Linux: from an ancestor pid namespace.
bool FromOutside(const siginfo_t& info) { return info.si_code == SI_USER && info.si_pid == 0; }

// Whether the default action would end the process.
bool IsFatal(const signal::Action& action, int signo) {
  if (!action.is_default()) return false;
  const Default what = signal::DefaultOf(signo);
  return what == Default::kTerminate || what == Default::kCore;
}

// Linux: SIGNAL_UNKILLABLE. What has no handler does not reach a container's init, not even from the
// kernel (^C, SIGPIPE, SIGALRM); but for SIGKILL and SIGSTOP from outside or from the kernel itself
// (RLIMIT_CPU), and faults (ForceSignal). Linux: sig_kernel_only.
bool InitIsImmune(const ThreadGroup& group, const siginfo_t& info) {
  if (!group.is_container_init || !group.actions->Get(info.si_signo).is_default()) return false;
  const bool unblockable = signal::kUnblockable.Has(info.si_signo);
  return !(unblockable && (FromOutside(info) || info.si_code == SI_KERNEL));
}

}  // namespace

void Task::Kick() {
  {
    absl::MutexLock lock(&own_mu_);
    if (thread_ && owner_.load(std::memory_order_acquire) == Owner::kGuest) thread_->Interrupt();
  }
  Interrupt();
}

void Task::MarkWorkLocked() {
  work_pending_.store(true, std::memory_order_seq_cst);
  Kick();
}

bool Task::SendToThread(const siginfo_t& info) {
  wait::WakeScope scope;
  absl::MutexLock lock(&kernel().tree_mu());
  return SendToThreadLocked(info);
}

// Stop signals and SIGCONT cancel each other, and SIGCONT wakes whatever is stopped, even if it is
// blocked or ignored. Linux: prepare_signal.
static void PrepareLocked(ThreadGroup& group, int signo,
                          absl::FunctionRef<void(SignalSet)> discard_in_tasks) {
  if (signal::kStopSignals.Has(signo)) {
    group.pending.Discard(kContinue);
    discard_in_tasks(kContinue);
  } else if (signo == SIGCONT) {
    group.pending.Discard(signal::kStopSignals);
    discard_in_tasks(signal::kStopSignals);
  }
}

void Task::ContinueGroupLocked(ThreadGroup& group, bool report) {
  if (report) {
    for (Task* task : group.tasks) Ptrace::NotifyLocked(*task);
  }
  if (group.stop == ThreadGroup::Stop::kNone) return;
  const bool was_stopped = group.stop == ThreadGroup::Stop::kStopped;
  group.stop = ThreadGroup::Stop::kNone;
  group.stopped_tasks = 0;
  for (Task* task : group.tasks) {
    task->stopped_.store(false, std::memory_order_release);
    task->MarkWorkLocked();
  }
  if (report && was_stopped) {
    group.stop_reported = true;
    group.continue_reported = false;
    NotifyParentLocked(group, CLD_CONTINUED, SIGCONT);
  }
}

bool Task::SendToThreadLocked(const siginfo_t& info) {
  ThreadGroup& group = *group_;
  const int signo = info.si_signo;
  if (signo == SIGKILL) Ptrace::ReleaseEndingLocked(*this);
  if (group.state != ThreadGroup::State::kRunning || killed_) return false;
  PrepareLocked(group, signo, [&group](SignalSet set) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
    for (Task* task : group.tasks) task->DiscardPendingLocked(set);
  });
  if (signo == SIGCONT || signo == SIGKILL) ContinueGroupLocked(group, signo == SIGCONT);
  const bool blocked = BlockedLocked().Has(signo) || (saved_mask_.has_value() && saved_mask_->Has(signo));
  const bool shown = tracee_.tracer != nullptr && signo != SIGKILL;  // a tracer sees what is ignored too
  if (!blocked && !shown && (group.actions->Ignores(signo) || InitIsImmune(group, info))) return false;
  if (!pending_.Add(info, group.Limit(RLIMIT_SIGPENDING).rlim_cur)) return false;
  WakeForSignalLocked(group, this, info);
  return true;
}

bool Task::SendToGroupLocked(ThreadGroup& group, const siginfo_t& info) {
  const int signo = info.si_signo;
  if (signo == SIGKILL) {
    for (Task* task : group.tasks) Ptrace::ReleaseEndingLocked(*task);
  }
  if (group.state != ThreadGroup::State::kRunning || group.tasks.empty()) return false;
  PrepareLocked(group, signo, [&group](SignalSet set) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
    for (Task* task : group.tasks) task->DiscardPendingLocked(set);
  });
  if (signo == SIGCONT || signo == SIGKILL) ContinueGroupLocked(group, signo == SIGCONT);
  // What is blocked is kept, whatever its action: sigwait(3) and signalfd(2) take it.
  Task& leader = *group.tasks.front();
  const bool blocked =
      leader.BlockedLocked().Has(signo) || (leader.saved_mask_.has_value() && leader.saved_mask_->Has(signo));
  const bool shown = leader.traced() && signo != SIGKILL;
  if (!blocked && !shown && (group.actions->Ignores(signo) || InitIsImmune(group, info))) return false;
  if (!group.pending.Add(info, group.Limit(RLIMIT_SIGPENDING).rlim_cur)) return false;
  WakeForSignalLocked(group, nullptr, info);
  return true;
}

// Linux: complete_signal. A fatal signal ends the whole process at once.
void Task::WakeForSignalLocked(ThreadGroup& group, Task* only, const siginfo_t& info) {
  const int signo = info.si_signo;
  Task* target = nullptr;
  wait::WakeScope::NotifyLater(Ref<RefCounted>(&group), group.signal_queue, wait::Poll::kIn);
  for (Task* task : group.tasks) {
    if (only != nullptr && task != only) continue;
    wait::WakeScope::NotifyLater(Ref<RefCounted>(task), task->signal_queue_, wait::Poll::kIn);
    const bool blocked = task->BlockedLocked().Has(signo);
    // Linux: wants_signal. Even a fatal one waits for the end of the stop.
    const bool stands =
        task->traced() ? task->trace_stopped() : task->stopped_.load(std::memory_order_acquire);
    const bool wants = signo == SIGKILL || (!blocked && !stands);
    if (target == nullptr && !task->killed_ && wants) target = task;
  }
  if (target == nullptr) return;
  const bool immune = InitIsImmune(group, info);
  const bool fatal =
      signo == SIGKILL || (IsFatal(group.actions->Get(signo), signo) && !immune && !target->traced());
  if (fatal) {
    BeginGroupExitLocked(group, signo, nullptr);
    return;
  }
  target->MarkWorkLocked();
}

void Task::LookForSignalsLocked(SignalSet waiting) {
  if (!waiting.Without(BlockedLocked()).empty()) MarkWorkLocked();
}

void Task::Raise(int signo) {
  siginfo_t info = {};
  info.si_signo = signo;
  info.si_code = SI_KERNEL;
  SendToThread(info);
}

void Task::ForceSignal(const siginfo_t& info) {
  wait::WakeScope scope;
  absl::MutexLock lock(&kernel().tree_mu());
  const int signo = info.si_signo;
  if (group_->state != ThreadGroup::State::kRunning) return;
  const signal::Action action = group_->actions->Get(signo);
  if (mask_.Has(signo) || action.is_ignore()) {
    signal::Action reset = action;
    reset.handler = 0;
    group_->actions->Set(signo, reset);
    mask_.Remove(signo);
    if (saved_mask_.has_value()) saved_mask_->Remove(signo);
  }
  pending_.Discard(SignalSet::Of(signo));
  pending_.Add(info, ~size_t{0});
  if (IsFatal(group_->actions->Get(signo), signo) && !traced()) {
    BeginGroupExitLocked(*group_, signo, this);
  } else {
    work_pending_.store(true, std::memory_order_release);
  }
}

}  // namespace cloister::task
