#include "platform/systrap/call_rate.h"

#include <algorithm>
#include <span>

#include "platform/process/clock.h"

namespace cloister::systrap {
namespace {

constexpr int64_t kWindowNs = 1'000'000;
constexpr int kManyCalls = 40, kSeveralChanges = 2;
constexpr int64_t kOneCorePercent = 115;

}  // namespace

void CallRate::Count(pid_t tid, pid_t pid, int64_t now) {
  if (now - began_.load(std::memory_order_relaxed) > kWindowNs) Turn(now);
  calls_.store(calls_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (last_.load(std::memory_order_relaxed) != tid) Change(tid, pid);
}

bool CallRate::IsDense(int64_t now) {
  if (now - began_.load(std::memory_order_relaxed) > kWindowNs) Turn(now);
  return dense_.load(std::memory_order_relaxed);
}

bool CallRate::LeavesCore(int running, int64_t now) {
  return IsDense(now) && running <= leaves_core_to_.load(std::memory_order_relaxed);
}

// Who the callers are is of interest only once there are many calls.
void CallRate::Change(pid_t tid, pid_t pid) {
  last_.store(tid, std::memory_order_relaxed);
  changes_.store(changes_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (!dense_.load(std::memory_order_relaxed)) return;
  absl::MutexLock lock(&mu_);
  const auto known = std::span(callers_).first(caller_count_);
  if (caller_count_ == kMostCallers || std::ranges::find(known, tid, &Caller::tid) != known.end()) return;
  const bool counted = std::ranges::find(known, pid, &Caller::pid) != known.end();
  callers_[caller_count_++] = {tid, pid, counted ? -1 : process::CpuTimeNs(pid)};
}

void CallRate::Turn(int64_t now) {
  absl::MutexLock lock(&mu_);
  const int64_t lasted = now - began_.load(std::memory_order_relaxed);
  if (lasted <= kWindowNs) return;  // somebody else did
  const bool dense = lasted < 2 * kWindowNs && calls_.load(std::memory_order_relaxed) >= kManyCalls &&
                     changes_.load(std::memory_order_relaxed) >= kSeveralChanges;
  int64_t used = 0;
  for (const Caller& caller : std::span(callers_).first(caller_count_)) {
    if (caller.cpu_ns >= 0) used += std::max<int64_t>(0, process::CpuTimeNs(caller.pid) - caller.cpu_ns);
  }
  const bool fits = dense && caller_count_ > 1 && used * 100 <= lasted * kOneCorePercent;
  leaves_core_to_.store(fits ? static_cast<int>(caller_count_) : 0, std::memory_order_relaxed);
  dense_.store(dense, std::memory_order_relaxed);
  caller_count_ = 0;
  calls_.store(0, std::memory_order_relaxed);
  changes_.store(0, std::memory_order_relaxed);
  last_.store(0, std::memory_order_relaxed);
  began_.store(now, std::memory_order_relaxed);
}

}  // namespace cloister::systrap
