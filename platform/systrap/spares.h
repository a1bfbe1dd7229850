#ifndef CLOISTER_PLATFORM_SYSTRAP_SPARES_H_
#define CLOISTER_PLATFORM_SYSTRAP_SPARES_H_

#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "platform/systrap/core.h"

namespace cloister::systrap {

// Keeps the zygote, which forks one child after the other, and a few children ready, so that
// execve(2) does not wait for a fork. Linux: nothing alike.
// Lock order: Spares::mu_, then every lock of the core.
class Spares final : public platform::TrapHandler {
 public:
  Spares(Core* core, size_t ready) : core_(core), ready_(ready) {}

  // The zygote, which has just been bound. While it boots, BootStep tells what it reported.
  void SetZygote(Ref<Thread> zygote) ABSL_LOCKS_EXCLUDED(mu_);
  Thread& zygote() { return *zygote_; }
  bool TakeBootReport(platform::Trap* trap) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends the boot: from now on the zygote forks.
  void Start() ABSL_LOCKS_EXCLUDED(mu_);
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // A process for handler: a spare, else one that is on its way.
  ErrnoOr<Ref<Thread>> Take(platform::TrapHandler* handler) ABSL_LOCKS_EXCLUDED(mu_);

  void OnTrap(platform::GuestThread& thread, const platform::Trap& trap) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnGone(platform::GuestThread& thread, int host_status) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  ErrnoOr<Ref<Thread>> OrderLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PumpLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Core* const core_;
  const size_t ready_;
  Ref<Thread> zygote_;  // set once, before anything else
  absl::Mutex mu_;
  bool booting_ ABSL_GUARDED_BY(mu_) = true;
  bool reported_ ABSL_GUARDED_BY(mu_) = false;
  platform::Trap report_ ABSL_GUARDED_BY(mu_);
  bool idle_ ABSL_GUARDED_BY(mu_) = false;  // the zygote waits for an answer
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Ref<Thread>> orders_ ABSL_GUARDED_BY(mu_);  // to be forked, in this order
  std::deque<Ref<Thread>> spares_ ABSL_GUARDED_BY(mu_);  // not given out; forked or ordered
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_SPARES_H_
