#ifndef CLOISTER_SENTRY_SIGNAL_SIGNAL_ACTIONS_H_
#define CLOISTER_SENTRY_SIGNAL_SIGNAL_ACTIONS_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "sentry/signal/signal_set.h"

namespace cloister::signal {

// The kernel's struct sigaction on x86-64, as rt_sigaction(2) passes it.
struct Action {
  uint64_t handler = 0;  // SIG_DFL (0), SIG_IGN (1) or an address
  uint64_t flags = 0;    // SA_…
  uint64_t restorer = 0;
  uint64_t mask = 0;

  bool is_default() const { return handler == 0; }
  bool is_ignore() const { return handler == 1; }
};
static_assert(sizeof(Action) == 32);

// What a signal does where its action is SIG_DFL.
enum class Default { kTerminate, kCore, kIgnore, kStop, kContinue };
Default DefaultOf(int signo);

// The table of actions. Linux: struct sighand_struct; shared by tasks made with CLONE_SIGHAND. Thread-safe.
class SignalActions : public RefCounted {
 public:
  Action Get(int signo) const ABSL_LOCKS_EXCLUDED(mu_);
  Action Set(int signo, const Action& action) ABSL_LOCKS_EXCLUDED(mu_);  // returns the old one
  // Takes the action for a delivery: SA_RESETHAND puts it back to the default.
  Action TakeForDelivery(int signo) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether signo would do nothing at all (SIG_IGN, or SIG_DFL with default "ignore").
  bool Ignores(int signo) const ABSL_LOCKS_EXCLUDED(mu_);
  Ref<SignalActions> Copy() const ABSL_LOCKS_EXCLUDED(mu_);
  // execve(2): handlers become the default, ignored ones stay.
  void ResetHandlers() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable absl::Mutex mu_;  // leaf
  Action actions_[kMaxSignal] ABSL_GUARDED_BY(mu_) = {};
};

}  // namespace cloister::signal

#endif  // CLOISTER_SENTRY_SIGNAL_SIGNAL_ACTIONS_H_
