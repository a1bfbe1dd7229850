#ifndef CLOISTER_PLATFORM_SYSTRAP_RESTS_H_
#define CLOISTER_PLATFORM_SYSTRAP_RESTS_H_

#include <atomic>
#include <cstddef>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cloister::systrap {

class ThreadTable;

// Sends threads that wait for long out of their doorbells. The host keeps what waits in a doorbell in a list,
// and goes through it for each notification: with 2,000 sleepers one takes 200 us. Where there are many
// threads, those that have waited for some milliseconds rest: they wait for their answer by a futex, whose
// wake is dearer.
class Rests {
 public:
  explicit Rests(ThreadTable* threads) : threads_(threads) {}

  // A thread waits, one of so many.
  void Parked(size_t threads) {
    if (threads > kFew && !seen_.load(std::memory_order_relaxed)) Look();
  }

  // Body of a thread, which sleeps unless there are many threads of which some wait anew; returns after Stop.
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  static constexpr size_t kFew = 48;

  void Look() ABSL_LOCKS_EXCLUDED(mu_);

  ThreadTable* const threads_;
  std::atomic<bool> seen_{false};
  absl::Mutex mu_;  // leaf lock
  absl::CondVar wake_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_RESTS_H_
