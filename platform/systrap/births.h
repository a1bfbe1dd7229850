#ifndef CLOISTER_PLATFORM_SYSTRAP_BIRTHS_H_
#define CLOISTER_PLATFORM_SYSTRAP_BIRTHS_H_

#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/own/ref.h"

namespace cloister::systrap {

class Thread;

// Host threads that were asked for and have not rung yet. Each has an unguessable token, by
// which the host's word for "who rings" (a thread id) is bound to our object. Thread-safe.
class Births {
 public:
  // Returns the token, never 0.
  uint64_t Expect(Ref<Thread> child) ABSL_LOCKS_EXCLUDED(mu_);
  // Null if nobody with that token is expected (any more).
  Ref<Thread> Take(uint64_t token) ABSL_LOCKS_EXCLUDED(mu_);

  // Takes the processes that were asked for before `asked_before`, or all children. A thread may be silent
  // for as long as it likes: it ends with its process.
  std::vector<Ref<Thread>> TakeOld(absl::Time asked_before) ABSL_LOCKS_EXCLUDED(mu_);
  // When the oldest process was asked for; InfiniteFuture if there is none.
  absl::Time Oldest() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Birth {
    Ref<Thread> child;
    absl::Time asked;
  };
  absl::Mutex mu_;  // leaf lock
  absl::flat_hash_map<uint64_t, Birth> expected_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_BIRTHS_H_
