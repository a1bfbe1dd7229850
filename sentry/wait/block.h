#ifndef CLOISTER_SENTRY_WAIT_BLOCK_H_
#define CLOISTER_SENTRY_WAIT_BLOCK_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/error/errno.h"
#include "base/own/ref.h"
#include "platform/api/host_op.h"
#include "sentry/wait/poll.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::wait {

// Nanoseconds on the host's CLOCK_MONOTONIC.
using MonotonicNs = int64_t;
inline constexpr MonotonicNs kNever = std::numeric_limits<MonotonicNs>::max();
MonotonicNs MonotonicNow();

// What a syscall gives back to the guest: a value, an errno, or a wish to be restarted.
class Answer {
 public:
  constexpr Answer() = default;
  constexpr Answer(int64_t value) : rax_(value) {}                       // NOLINT: implicit
  constexpr Answer(Errno error) : rax_(-static_cast<int64_t>(error)) {}  // NOLINT: implicit

  // Linux's internal "errnos", which the guest never sees: signal delivery turns them into EINTR
  // or runs the syscall again (sentry/signal decides).
  enum class Restart : int64_t {
    kSys = 512,           // ERESTARTSYS: again if the handler has SA_RESTART or there is no handler
    kNoIntr = 513,        // ERESTARTNOINTR: always again
    kNoHand = 514,        // ERESTARTNOHAND: again only if no handler runs
    kRestartBlock = 516,  // ERESTART_RESTARTBLOCK: like kNoHand, but the *parked call* continues with
                          // its absolute deadline (nanosleep, poll, futex with a timeout)
  };
  constexpr Answer(Restart restart) : rax_(-static_cast<int64_t>(restart)) {}  // NOLINT: implicit

  constexpr int64_t rax() const { return rax_; }
  constexpr bool failed() const { return rax_ < 0 && rax_ >= -4095; }
  constexpr bool wants_restart() const { return rax_ <= -512 && rax_ >= -516; }
  constexpr bool Is(Errno error) const { return rax_ == -static_cast<int64_t>(error); }
  friend constexpr bool operator==(Answer, Answer) = default;

 private:
  int64_t rax_ = 0;
};

using Restart = Answer::Restart;

// One thing that a parked task waits on. `keep` holds the queue's owner alive while armed.
struct WaitOn {
  Ref<RefCounted> keep;
  WaitQueue* queue = nullptr;
  Poll events;
};

// "Not now": park until one of these happens, then run Step again.
struct Block {
  absl::InlinedVector<WaitOn, 2> on;
  MonotonicNs until = kNever;             // absolute: a wake-up does not extend it
  Answer at_deadline = Errno::kTimedOut;  // after one last Step that still blocks
  Answer at_signal = Restart::kSys;       // when a signal is to be delivered
  bool killable_only = false;             // only SIGKILL ends it: vfork's wait
  // The host thread sleeps, by this operation, and its result is the call's, unless it is interrupted. `on`
  // is empty and `until` kNever then.
  std::optional<platform::HostOp> host_sleep;
};

}  // namespace cloister::wait

#endif  // CLOISTER_SENTRY_WAIT_BLOCK_H_
