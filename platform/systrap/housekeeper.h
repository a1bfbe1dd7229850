#ifndef CLOISTER_PLATFORM_SYSTRAP_HOUSEKEEPER_H_
#define CLOISTER_PLATFORM_SYSTRAP_HOUSEKEEPER_H_

#include <deque>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/own/ref.h"

namespace cloister::systrap {

class Births;
class Thread;

// Says farewell: calls OnGone for threads that end by an answering call, never from within that
// call (its caller may hold locks that OnGone takes). Also gives up children that never said hello
// though something hints that they died. Sleeps while there is nothing of the sort.
class Housekeeper {
 public:
  explicit Housekeeper(Births* births) : births_(births) {}

  // On a worker the call follows when its current handler has returned, else on Run's thread.
  void PostGone(Ref<Thread> thread) ABSL_LOCKS_EXCLUDED(mu_);
  // A host process died: unborn children that are still missing some seconds later died, too.
  void SuspectBirths() ABSL_LOCKS_EXCLUDED(mu_);

  // Body of the housekeeper's thread; returns after Stop, when all is said.
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // For workers: collects what is posted on this thread, and says it.
  static void BecomeWorker();
  static void SayPosted();

 private:
  void GiveUpOldBirths() ABSL_LOCKS_EXCLUDED(mu_);

  Births* const births_;
  absl::Mutex mu_;  // leaf lock
  absl::CondVar wake_;
  std::deque<Ref<Thread>> gone_ ABSL_GUARDED_BY(mu_);
  absl::Time look_at_births_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_HOUSEKEEPER_H_
