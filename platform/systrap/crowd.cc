#include "platform/systrap/crowd.h"

#include <sched.h>

#include <algorithm>

namespace cloister::systrap {
namespace {

constexpr int64_t kLookNs = 20'000;  // from one look at the host to the next while guests run
constexpr int64_t kHoldNs = 50'000;  // a task is held back no longer
constexpr int64_t kShortNs = 5'000'000, kFirstPauseNs = 1'000'000, kLongestPauseNs = 32'000'000;

}  // namespace

bool Crowd::Begin(int64_t now) {
  int none = -1;
  if (!core_.compare_exchange_strong(none, sched_getcpu())) return false;
  began_ = now;
  looked_ = ran_ = 0;
  if (sideline_ != nullptr) sideline_->Begin();
  return true;
}

void Crowd::End(int64_t now) {
  if (sideline_ != nullptr) sideline_->End();
  const bool was_short = now - began_ < kShortNs;
  pause_ = was_short ? std::clamp(2 * pause_, kFirstPauseNs, kLongestPauseNs) : 0;
  not_before_.store(now + pause_, std::memory_order_relaxed);
  core_.store(-1);
}

void Crowd::BetweenCalls(int running, int64_t now) {
  if (sideline_ == nullptr) return;
  if (running == 0 || now - looked_ > kLookNs) {
    looked_ = now;
    sideline_->Look();
  }
  if (running == 0 || now - ran_ > kHoldNs) {
    ran_ = now;
    sideline_->RunHeld();
  }
}

}  // namespace cloister::systrap
