#ifndef CLOISTER_PLATFORM_SYSTRAP_CALL_HABIT_H_
#define CLOISTER_PLATFORM_SYSTRAP_CALL_HABIT_H_

#include <algorithm>
#include <atomic>

namespace cloister::systrap {

// How soon a thread calls again after its answers. The owner's, but for Missed and Paid.
class CallHabit {
 public:
  void Called(bool soon) {
    soon_ = soon ? soon_ + 1 : 0;
    if (age_ < kGrown) ++age_;
  }
  // It waits. One that has called often before goes on so behind it.
  void Waits() {
    if (soon_ < kLongBurst) soon_ = 0;
  }

  // So often that a core may be spent on it. A short program has ended before that pays: it begins on another
  // core then.
  bool CallsOften() const { return age_ == kGrown && soon_ >= wanted_.load(std::memory_order_relaxed); }
  bool CallsSoon() const { return soon_ >= kFew; }

  // It was watched in vain; it was watched, and called.
  void Missed() { Want(std::min(kMost, wanted_.load(std::memory_order_relaxed) * 2)); }
  void Paid() { Want(std::max(kFew, wanted_.load(std::memory_order_relaxed) / 2)); }

 private:
  static constexpr int kFew = 2, kFirst = 4, kLongBurst = 16, kMost = 1024;
  static constexpr int kGrown = 48;  // calls
  void Want(int calls) { wanted_.store(calls, std::memory_order_relaxed); }

  int soon_ = 0;  // calls in a row
  int age_ = 0;   // calls so far
  std::atomic<int> wanted_{kFirst};
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_CALL_HABIT_H_
