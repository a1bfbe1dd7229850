#ifndef CLOISTER_PLATFORM_SYSTRAP_TURNS_H_
#define CLOISTER_PLATFORM_SYSTRAP_TURNS_H_

#include <atomic>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cloister::systrap {

class ThreadTable;

// Decides which workers wait on the listener and which sleep aside. The host wakes every thread that
// waits there for each single notification, so one is enough until notifications are found queued:
// then more wait, at most as many as guest threads run. A worker that is held up in a handler (by
// the gofer, say) is noticed by a guard, one of those aside, who looks every millisecond while more
// than one guest thread runs.
class Turns {
 public:
  Turns(int most_waiting, ThreadTable* threads) : most_waiting_(most_waiting), threads_(threads) {}

  // Before waiting on the listener; sleeps until this worker is wanted. False: no more work comes.
  bool Enter() ABSL_LOCKS_EXCLUDED(mu_);
  // After the wait. The sender of what was received still counts as running. slept: nothing was
  // there already.
  void Leave(bool slept) ABSL_LOCKS_EXCLUDED(mu_);

  // The calling worker will not listen for a while: another one does, if none does.
  void EnsureListener() ABSL_LOCKS_EXCLUDED(mu_);

  void GuestRuns() ABSL_LOCKS_EXCLUDED(mu_);
  void GuestStops() { running_.fetch_sub(1); }
  // Guest threads that want a core: of those that were told to run, the ones that do not sleep in a futex. Of
  // them it is known how many there were a moment ago.
  int Busy(int64_t now);

  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // To be called by each worker first: what it resumes, it will soon listen for itself.
  static void MarkWorker();

 private:
  int Wanted() const;
  void Unpark() ABSL_LOCKS_EXCLUDED(mu_);
  void WakeGuard() ABSL_LOCKS_EXCLUDED(mu_);
  void Adapt(bool slept);
  bool MayRestLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GuardLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int most_waiting_;
  ThreadTable* const threads_;
  // Both are read by the other side after its own is written (sequentially consistent), so that
  // either the leaver sees the parked one or the parked one sees that nobody waits.
  alignas(64) std::atomic<int> running_{0};
  alignas(64) std::atomic<int> waiting_{0};
  std::atomic<int> parked_{0};
  absl::Mutex mu_;  // above ThreadTable's
  absl::CondVar wake_;
  int permits_ ABSL_GUARDED_BY(mu_) = 0;
  bool guarded_ ABSL_GUARDED_BY(mu_) = false;
  std::atomic<bool> guard_sleeps_{false};
  std::atomic<int> level_{1};  // how many may wait
  std::atomic<int> received_{0};
  std::atomic<int> queued_{0};  // of them, without a wait
  std::atomic<bool> stop_{false};
  std::atomic<int> asleep_{0};  // Busy's last count
  std::atomic<int64_t> count_again_at_{0};
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_TURNS_H_
