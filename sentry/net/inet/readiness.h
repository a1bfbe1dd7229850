#ifndef CLOISTER_SENTRY_NET_INET_READINESS_H_
#define CLOISTER_SENTRY_NET_INET_READINESS_H_

#include <atomic>
#include <cstdint>

#include "sentry/wait/poll.h"

namespace cloister::net {

// What is known of a host descriptor's readiness from edge-triggered events and the calls that were
// made on it, so that asking costs a host call only after something happened. Lock-free.
class Readiness {
 public:
  // What was known, to be handed back with the result of a host call made after it.
  struct Snapshot {
    uint64_t word;
    bool known() const { return (word & kStale) == 0; }
    wait::Poll ready() const { return wait::Poll(static_cast<uint32_t>(word & kReadyMask)); }
  };
  Snapshot Get() const { return {word_.load(std::memory_order_acquire)}; }

  // The host told these: they hold from now on, until a call may have used them up.
  void OnEvents(wait::Poll events) {
    // Errors and hang-ups may come and go with states; then the host is asked.
    const bool stale = events.Any(wait::Poll::kErr | wait::Poll::kHup | wait::Poll::kRdHup);
    uint64_t seen = word_.load(std::memory_order_relaxed);
    uint64_t next;
    do {
      next = (seen + kOneEvent) | (events.bits() & kReadyMask) | (stale ? kStale : 0);
    } while (!word_.compare_exchange_weak(seen, next, std::memory_order_acq_rel));
  }
  // A call was made that may have changed anything.
  void Used() {
    uint64_t seen = word_.load(std::memory_order_relaxed);
    while (!word_.compare_exchange_weak(seen, (seen + kOneEvent) | kStale, std::memory_order_acq_rel)) {
    }
  }
  // The host said what is ready, asked after `before`. Nothing if an event or a call came meanwhile.
  void Set(Snapshot before, wait::Poll ready) {
    uint64_t seen = before.word;
    const uint64_t next = (before.word & ~(kReadyMask | kStale)) | (ready.bits() & kReadyMask);
    word_.compare_exchange_strong(seen, next, std::memory_order_acq_rel);
  }

 private:
  static constexpr uint64_t kReadyMask = 0xffff;
  static constexpr uint64_t kStale = 1 << 16;
  static constexpr uint64_t kOneEvent = 1 << 17;  // counts events and calls above

  std::atomic<uint64_t> word_{kStale};
};

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_INET_READINESS_H_
