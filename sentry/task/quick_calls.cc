// Calls that the platform lets the guest settle without a trap: platform/api/quick_state.h. The
// sentry takes over what they did at the next trap, and earlier where a signal's sender asks.

#include <sys/syscall.h>

#include "sentry/task/task.h"

namespace cloister::task {

using signal::SignalSet;

namespace {

// The groups of which every call passes the filters unasked.
uint32_t QuickCallsPast(const seccomp::Filter* filters) {
  uint32_t groups = ~0u;
  if (filters == nullptr) return groups;
  for (const platform::QuickCall& call : platform::kQuickCalls) {
    if (!filters->AlwaysAllows(call.number)) groups &= ~call.group;
  }
  return groups;
}

}  // namespace

// A trap: the guest stands still.
void Task::TakeQuickState() {
  if (!quick_given_.load(std::memory_order_relaxed)) return;
  const platform::QuickState state = thread_->TakeQuickState();
  robust_list = state.robust_list;
  clear_child_tid = state.clear_child_tid;
  if (state.refused_rseq) kernel().CountUnimplemented(SYS_rseq);
  const SignalSet mask = SignalSet(state.signal_mask).Without(signal::kUnblockable);
  if (mask == given_mask_ && !mask_held_.load(std::memory_order_acquire)) return;
  absl::MutexLock lock(&kernel().tree_mu());
  mask_ = mask;
  UpdateWorkPendingLocked();
}

// Called again for a running guest when its parent changes.
void Task::GiveQuickIdsLocked() {
  absl::MutexLock lock(&own_mu_);
  if (!thread_ || !cred_) return;
  const auto id = [](auto value) { return static_cast<uint32_t>(value); };
  platform::QuickIds ids;
  ids.pid = id(pid());
  ids.tid = id(tid());
  ids.parent_pid = id(group_->parent != nullptr ? group_->parent->pid() : 0);
  ids.uid = cred_->uid;
  ids.euid = cred_->euid;
  ids.gid = cred_->gid;
  ids.egid = cred_->egid;
  thread_->GiveQuickIds(ids);
}

void Task::HandToGuest(platform::GuestThread& thread) {
  const seccomp::Filter* const known = filters.get();
  GiveQuickState(known);
  owner_.store(Owner::kGuest, std::memory_order_seq_cst);
  // Whoever has changed them since has taken the quick calls away, maybe before they were given.
  if (filters.get() != known) thread.WithholdQuickCalls();
}

// The guest runs next. Not with --strace or for a tracee: every call is to be seen.
void Task::GiveQuickState(const seccomp::Filter* known) {
  if (!thread_->HasQuickCalls() || kernel().tracer() != nullptr) return;
  if (traced()) {
    if (quick_given_.exchange(false, std::memory_order_acq_rel)) thread_->WithholdQuickCalls();
    return;
  }
  if (known != quick_filters_) {
    quick_filters_ = known;
    quick_calls_ = QuickCallsPast(known);
  }
  given_mask_ = mask_;
  platform::QuickState state;
  state.calls = quick_calls_;
  if (!mm_ || mm_->LockedBytes() != 0) state.calls &= ~platform::kQuickAdvise;
  state.signal_mask = mask_.bits();
  state.robust_list = robust_list;
  state.clear_child_tid = clear_child_tid;
  if (!thread_->HasNativeFutexes()) state.calls &= ~platform::kQuickFutex;
  if (quick_ids_stale_.exchange(false, std::memory_order_relaxed)) {
    absl::MutexLock lock(&kernel().tree_mu());
    GiveQuickIdsLocked();
  }
  thread_->GiveQuickState(state);
  quick_given_.store(true, std::memory_order_release);
  if (!mask_held_.load(std::memory_order_acquire)) return;
  absl::MutexLock lock(&kernel().tree_mu());
  if (!(pending_.set() | group_->pending.set()).empty()) return;
  mask_held_.store(false, std::memory_order_release);
  thread_->ReleaseSignalMask();
}

SignalSet Task::BlockedLocked() {
  absl::MutexLock lock(&own_mu_);
  mask_held_.store(true, std::memory_order_release);
  if (!thread_ || !quick_given_.load(std::memory_order_acquire)) return mask_;
  const SignalSet mask = SignalSet(thread_->HoldSignalMask()).Without(signal::kUnblockable);
  if (owner_.load(std::memory_order_acquire) == Owner::kGuest && !(mask == mask_)) mask_ = mask;
  return mask_;
}

uint64_t Task::GetRobustList() const {
  absl::MutexLock lock(&own_mu_);
  const bool running = owner_.load(std::memory_order_acquire) == Owner::kGuest;
  return running && thread_ && quick_given_.load(std::memory_order_acquire)
             ? thread_->TakeQuickState().robust_list
             : robust_list;
}

}  // namespace cloister::task
