#include "platform/systrap/turns.h"

#include <algorithm>

namespace cloister::systrap {
namespace {

thread_local bool is_worker = false;

}  // namespace

void Turns::MarkWorker() { is_worker = true; }

int Turns::Wanted() const { return std::clamp(running_.load(), 1, most_waiting_); }

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
      while (permits_ == 0 && !stop_.load()) wake_.Wait(&mu_);
      if (permits_ > 0) --permits_;
    }
    parked_.fetch_sub(1);
  }
  return false;
}

void Turns::Leave() {
  const int still_waiting = waiting_.fetch_sub(1) - 1;
  if (still_waiting == 0 && running_.load() > 1) Unpark();
}

void Turns::GuestRuns() {
  running_.fetch_add(1);
  if (!is_worker && waiting_.load() == 0) Unpark();
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
