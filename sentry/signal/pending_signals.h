#ifndef CLOISTER_SENTRY_SIGNAL_PENDING_SIGNALS_H_
#define CLOISTER_SENTRY_SIGNAL_PENDING_SIGNALS_H_

#include <signal.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "sentry/signal/signal_set.h"

namespace cloister::signal {

// Signals waiting for a thread or a process. Linux: struct sigpending. The owner locks.
// Standard signals are kept once, real-time ones queue in order; the lowest number goes first,
// synchronous faults before all.
class PendingSignals {
 public:
  // False where a standard signal was pending already (nothing changes).
  // A real-time queue is bounded by max_queued (RLIMIT_SIGPENDING): beyond it false too.
  bool Add(const siginfo_t& info, size_t max_queued);

  SignalSet set() const { return set_; }
  // Takes the next signal out that is in `wanted`.
  std::optional<siginfo_t> Take(SignalSet wanted);
  // Forgets all of these.
  void Discard(SignalSet signals);
  // Forgets what the POSIX timer by this number has queued.
  void DiscardTimer(int timer_id);
  // At most `count` of them behind the first `skip`, in the order of their coming: PTRACE_PEEKSIGINFO.
  std::vector<siginfo_t> Peek(uint64_t skip, size_t count) const;
  size_t queued() const { return queue_.size(); }

 private:
  SignalSet set_;
  std::deque<siginfo_t> queue_;
};

}  // namespace cloister::signal

#endif  // CLOISTER_SENTRY_SIGNAL_PENDING_SIGNALS_H_
