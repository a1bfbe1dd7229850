#ifndef CLOISTER_PLATFORM_SYSTRAP_WATCH_H_
#define CLOISTER_PLATFORM_SYSTRAP_WATCH_H_

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "platform/process/clock.h"
#include "platform/systrap/crowd.h"

namespace cloister::systrap {

class Thread;
class Turns;

using process::NowNs;

// The threads that are looked at instead of being rung for, because they have called often of late and a core
// is free: a worker, the watcher, spins on their request words. It gives up some time after the last answer,
// at once when guests want its core, and for a while when it was put off its core by somebody else.
//
// Where guests want all cores, a watcher pays only for a crowd (crowd.h); the watched threads then keep off
// its core.
//
// A thread's request word is armed before it is answered. A request is claimed in the sentry's own memory
// (Thread::Claim), so that nobody serves it twice, whatever the guest writes into its page.
class Watch {
 public:
  // Never watches where `enabled` is false or there is one core only.
  Watch(Turns* turns, int cores, bool enabled, platform::Sideline* sideline);
  ~Watch();

  enum class Verdict {
    kNo,       // the thread will ring
    kWatched,  // by a worker that spins already
    kSpin,     // by the calling worker: it has to call Await before it listens again
  };
  // To be called by a worker just before it answers `thread`, which is armed unless the verdict is kNo.
  Verdict Add(Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);

  // A thread that is kept off a core: it may run there again.
  void LetGo(Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);
  // The same, and it is kept off none until EndStay: its child takes after it.
  void Stay(Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);
  void EndStay(Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);
  // The cores of one that is kept off one of them. False: it is not.
  bool GetCores(const Thread& thread, cpu_set_t* cores) ABSL_LOCKS_EXCLUDED(mu_);

  // What one worker looks at; it keeps it from one request to the next.
  struct View {
    std::vector<Ref<Thread>> threads;
    uint64_t version = ~uint64_t{0};
    bool serves_crowd = false;
  };

  // Spins until a watched thread has posted a request, and claims it. Null: it does not pay any more, and
  // the view is empty.
  Ref<Thread> Await(View* view) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  bool CoreIsFree(int more, int64_t now) const;
  bool MayWatch(const Thread& thread, int64_t now);
  bool List(Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);
  bool Pays(View* view, int64_t now) ABSL_LOCKS_EXCLUDED(mu_);
  void BeginCrowd(View* view, int64_t now) ABSL_LOCKS_EXCLUDED(mu_);
  void EndCrowd(View* view) ABSL_LOCKS_EXCLUDED(mu_);
  void LostCore(int64_t now);
  Ref<Thread> Spin(View* view) ABSL_LOCKS_EXCLUDED(mu_);
  void Refresh(View* view) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);
  // Lets go of a thread; true if it has posted in the last moment and is the caller's now.
  bool Drop(Thread& thread) ABSL_LOCKS_EXCLUDED(mu_);
  Ref<Thread> DropAll(const View& view) ABSL_LOCKS_EXCLUDED(mu_);

  Turns* const turns_;
  const int cores_;
  const bool enabled_;
  std::atomic<int> watchers_{0};
  std::atomic<int64_t> not_before_{0};  // a watcher lost its core: none spins until then
  std::atomic<int64_t> next_break_{0};  // how long the next such break is
  std::atomic<uint64_t> version_{0};    // of threads_
  Crowd crowd_;
  absl::Mutex mu_;  // leaf lock
  std::vector<Ref<Thread>> threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_WATCH_H_
