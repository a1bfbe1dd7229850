#include "platform/systrap/turns.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "platform/process/clock.h"
#include "platform/systrap/thread_table.h"

namespace cloister::systrap {
namespace {

constexpr absl::Duration kGuardPeriod = absl::Milliseconds(1);
constexpr int kGuardLinger = 50;  // periods with at most one guest thread, after which the guard sleeps
constexpr int kWindow = 64;       // notifications, after which the number of waiting workers is thought over
constexpr int kMostlyQueued = 56;
constexpr int64_t kCountPeriodNs = 50'000;
constexpr int kCountShare = 20;  // counting takes at most one part of so many

thread_local bool is_worker = false;

}  // namespace

void Turns::MarkWorker() { is_worker = true; }

int Turns::Wanted() const { return std::clamp(running_.load(), 1, level_.load(std::memory_order_relaxed)); }

bool Turns::Enter() {
  while (!stop_.load()) {
    int waiting = waiting_.load();
    if (waiting < Wanted()) {
      if (waiting_.compare_exchange_weak(waiting, waiting + 1)) return true;
      continue;
    }
    absl::MutexLock lock(&mu_);
    parked_.fetch_add(1);
    if (waiting_.load() >= Wanted()) {
      if (std::exchange(guarded_, true)) {
        while (permits_ == 0 && !stop_.load()) wake_.Wait(&mu_);
      } else {
        GuardLocked();
        guarded_ = false;
      }
      if (permits_ > 0) --permits_;
    }
    parked_.fetch_sub(1);
  }
  return false;
}

int Turns::Busy(int64_t now) {
  const int running = running_.load(std::memory_order_relaxed);
  if (running <= 1) return running;
  if (now >= count_again_at_.load(std::memory_order_relaxed)) {
    asleep_.store(threads_->CountAsleep(), std::memory_order_relaxed);
    const int64_t took = process::NowNs() - now;
    count_again_at_.store(now + std::max(kCountPeriodNs, took * kCountShare), std::memory_order_relaxed);
  }
  return std::clamp(running - asleep_.load(std::memory_order_relaxed), 0, running);
}

// A worker that goes to serve a guest while others may be woken without it wakes the guard.
bool Turns::MayRestLocked() {
  return running_.load() <= 1 || (waiting_.load() > 0 && Busy(process::NowNs()) <= 1);
}

// Returns with a permit, at the end, or because nobody has waited for a while.
void Turns::GuardLocked() {
  int quiet = 0;
  int deserted = 0;
  while (permits_ == 0 && !stop_.load()) {
    if (quiet >= kGuardLinger) {
      guard_sleeps_.store(true);
      if (MayRestLocked()) wake_.Wait(&mu_);
      guard_sleeps_.store(false);
      quiet = 0;
      continue;
    }
    wake_.WaitWithTimeout(&mu_, kGuardPeriod);
    const int running = running_.load();
    quiet = MayRestLocked() ? quiet + 1 : 0;
    deserted = running > 0 && waiting_.load() == 0 ? deserted + 1 : 0;
    if (deserted > 1) return;
  }
}

void Turns::Leave(bool slept) {
  const int still_waiting = waiting_.fetch_sub(1) - 1;
  const int running = running_.load();
  if (running > 0 && guard_sleeps_.load()) WakeGuard();
  if (running <= 1) return;
  Adapt(slept);
  if (still_waiting == 0 && level_.load(std::memory_order_relaxed) > 1) Unpark();
}

// Races lose a count now and then.
void Turns::Adapt(bool slept) {
  const int queued =
      slept ? queued_.load(std::memory_order_relaxed) : queued_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (received_.fetch_add(1, std::memory_order_relaxed) + 1 < kWindow) return;
  const int level = level_.load(std::memory_order_relaxed);
  level_.store(queued > kMostlyQueued ? std::min(level + 1, most_waiting_) : std::max(level - 1, 1),
               std::memory_order_relaxed);
  received_.store(0, std::memory_order_relaxed);
  queued_.store(0, std::memory_order_relaxed);
}

void Turns::EnsureListener() {
  if (waiting_.load() == 0) Unpark();
}

void Turns::GuestRuns() {
  const bool further = running_.fetch_add(1) > 0;
  if (!is_worker && waiting_.load() == 0) {
    Unpark();
  } else if (further && guard_sleeps_.load()) {
    WakeGuard();
  }
}

void Turns::WakeGuard() {
  absl::MutexLock lock(&mu_);
  wake_.SignalAll();
}

void Turns::Unpark() {
  if (parked_.load() == 0) return;
  absl::MutexLock lock(&mu_);
  if (permits_ < parked_.load()) ++permits_;
  wake_.Signal();
}

void Turns::Stop() {
  absl::MutexLock lock(&mu_);
  stop_.store(true);
  wake_.SignalAll();
}

}  // namespace cloister::systrap
