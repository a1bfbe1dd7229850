#ifndef CLOISTER_SENTRY_TASK_TASK_SIGNALS_H_
#define CLOISTER_SENTRY_TASK_TASK_SIGNALS_H_

#include <signal.h>

#include <atomic>
#include <deque>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "sentry/signal/pending_signals.h"
#include "sentry/signal/signal_frame.h"
#include "sentry/task/errand.h"
#include "sentry/task/task_parts.h"
#include "sentry/task/tracee.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::task {

// A task's mask and what pends for it, and how it is traced: the part of signals that is state. Sending
// and delivery are Task's, tracing is Ptrace's.
class TaskSignals : public TaskParts {
 public:
  signal::SignalSet signal_mask() const { return mask_; }  // owner
  // Replaces the mask (SIGKILL and SIGSTOP never get in) and looks for what is now unblocked. Owner.
  void SetSignalMask(signal::SignalSet mask) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // For ppoll, pselect, sigsuspend, epoll_pwait: `mask` while the call is parked; the old mask comes back
  // when the call ends, or after the handler of the signal that ended it. Owner; before Block is answered.
  void SetTemporaryMask(signal::SignalSet mask) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  signal::AltStack alt_stack;  // owner

  // Takes a pending signal of `wanted`, of the thread or the process: sigtimedwait(2), signalfd(2). Owner or
  // signalfd.
  std::optional<siginfo_t> TakeSignal(signal::SignalSet wanted) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // Forgets pending signals of the whole process: sigaction(2) with an action that ignores them.
  void DiscardPending(signal::SignalSet set) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // Forgets what a POSIX timer of the process has queued.
  static void DiscardTimer(ThreadGroup& group, int timer_id) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  // sigpending(2): blocked ones that wait.
  signal::SignalSet PendingSet() ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // /proc/PID/status SigPnd: this thread's own.
  signal::SignalSet OwnPendingSet() ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // Notified (kIn) when a signal is queued for this task or its process: sigtimedwait(2).
  wait::WaitQueue& signal_queue() { return signal_queue_; }
  // A signal is to be delivered or the task is to end: long loops should stop. Any thread.
  bool interrupted() const { return work_pending_.load(std::memory_order_acquire); }

  // Whether it has a tracer; whether it stands still for it. Any thread.
  bool traced() const { return traced_.load(std::memory_order_acquire); }
  bool trace_stopped() const { return trace_stopped_.load(std::memory_order_acquire); }
  // /proc/PID/status TracerPid; 0: none.
  pid_t TracerTid() const ABSL_LOCKS_EXCLUDED(kernel().tree_mu());

 protected:
  using TaskParts::TaskParts;

  // What a look at the signals still has to do: delivery, a stop, the end.
  void UpdateWorkPendingLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void ChangeMaskLocked(signal::SignalSet mask) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void DiscardPendingLocked(signal::SignalSet set) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());

  // Owner writes, under tree_mu; others read under tree_mu.
  signal::SignalSet mask_;
  std::optional<signal::SignalSet> saved_mask_;  // what comes back after a temporary mask
  signal::PendingSignals pending_ ABSL_GUARDED_BY(group_->kernel().tree_mu());
  std::atomic<bool> stopped_{false};  // counted in group().stopped_tasks; changed under tree_mu
  bool killed_ = false;               // must end; tree_mu
  std::atomic<bool> work_pending_{false};
  wait::WaitQueue signal_queue_;

  // What the guest may settle by quick calls. Its mask is then only up to date after Task::BlockedLocked.
  signal::SignalSet given_mask_;                    // owner: what the guest was last given
  std::atomic<bool> quick_given_{false};            // to the present GuestThread
  std::atomic<bool> mask_held_{true};               // signals wait: the guest may not change its mask alone
  const seccomp::Filter* quick_filters_ = nullptr;  // owner: that quick_calls_ was worked out for
  uint32_t quick_calls_ = ~0u;                      // owner: that they let the guest settle

  // ptrace(2) and errands. Tree, unless said otherwise.
  Tracee tracee_;
  std::vector<Task*> tracees_;
  std::vector<Corpse> corpses_;
  bool has_traced_ = false;  // one that outlived its leader
  std::deque<Ref<Errand>> errands_;
  wait::WaitQueue idle_queue_;              // notified (kIn) when no errand is left
  bool errands_closed_ = false;             // it ends
  std::atomic<bool> traced_{false};         // changed under tree_mu
  std::atomic<bool> trace_stopped_{false};  // changed under tree_mu
  std::atomic<TraceMode> trace_mode_{TraceMode::kCont};
  std::atomic<bool> trace_step_{false};
  std::atomic<bool> watches_{false};  // it has breakpoints in tracee_.debug; changed under tree_mu
  // Owner.
  AfterStop after_stop_ = AfterStop::kNothing;
  std::optional<siginfo_t> injected_;
  int injected_signal_ = 0;
  bool skip_call_ = false;                           // PTRACE_SYSEMU
  bool forced_tf_ = false;                           // the trap flag is the tracer's
  pid_t vfork_pid_ = 0;                              // PTRACE_EVENT_VFORK_DONE is to be told
  int clone_event_ = 0;                              // PTRACE_EVENT_… of the clone under way
  std::optional<platform::Registers> newborn_regs_;  // of a thread that has not run yet
  Ref<Errand> errand_;                               // under way
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_TASK_SIGNALS_H_
