#ifndef CLOISTER_PLATFORM_SYSTRAP_LONG_WAIT_H_
#define CLOISTER_PLATFORM_SYSTRAP_LONG_WAIT_H_

#include <atomic>
#include <cstdint>
#include <utility>

namespace cloister::systrap {

// A thread that waits in its doorbell, and may be told to leave it and to rest (rests.h). Begin and End are
// its owner's, the rest is anyone's.
class LongWait {
 public:
  // Once more where a wait goes on behind a wake in vain: it may have been told by then.
  void Begin(int64_t now, bool in_doorbell) {
    since_.store(now, std::memory_order_relaxed);
    if (!in_doorbell || std::exchange(is_one_, true)) return;
    state_.store(kWaits);
  }
  // It is going to be answered. True: it was told to rest, and then HasLeft is true once.
  bool End() { return has_left_ = std::exchange(is_one_, false) && state_.exchange(kNone) == kTold; }
  bool HasLeft() { return std::exchange(has_left_, false); }

  int64_t since() const { return since_.load(std::memory_order_relaxed); }
  // True for one caller, whose it is then to send it to rest: before that the thread makes no other event.
  bool Tell() {
    uint32_t waits = kWaits;
    return state_.compare_exchange_strong(waits, kTold);
  }

 private:
  static constexpr uint32_t kNone = 0, kWaits = 1, kTold = 2;
  std::atomic<uint32_t> state_{kNone};
  std::atomic<int64_t> since_{0};
  bool is_one_ = false, has_left_ = false;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_LONG_WAIT_H_
