#include "sentry/wait/parker.h"

#include <time.h>

#include <cassert>
#include <utility>
#include <vector>

namespace cloister::wait {
namespace {

struct LaterNotify {
  Ref<RefCounted> keep;
  WaitQueue* queue;
  Poll events;
};

// In the order in which they were woken.
struct Woken {
  Parker* first = nullptr;
  Parker* last = nullptr;  // where there is a first
};

struct ThreadWakes {
  bool in_scope = false;
  bool holds = false;
  std::vector<LaterNotify> notifies;
  Woken woken;
};

struct Held {
  absl::Mutex mu;  // leaf lock
  Woken woken ABSL_GUARDED_BY(mu);
};

Held& TheHeld() {
  static Held* const held = new Held;
  return *held;
}

ThreadWakes& Wakes() {
  static thread_local ThreadWakes wakes;
  return wakes;
}

}  // namespace

MonotonicNs MonotonicNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

void Parker::Arm(const Block& block) {
  assert(state_.load() == State::kIdle);
  expired_.store(false, std::memory_order_relaxed);
  state_.store(State::kArmed, std::memory_order_release);
  link_count_ = block.on.size();
  links_ = link_count_ <= kInlineLinks ? inline_links_ : new Link[link_count_];
  for (size_t i = 0; i < link_count_; ++i) {
    links_[i].on = block.on[i];
    links_[i].on.queue->Add(links_[i].entry, *this, block.on[i].events);
  }
  if (block.until != kNever) Poller::Get().SetTimer(*this, block.until);
}

void Parker::Disarm() {
  if (state_.load(std::memory_order_acquire) == State::kIdle) return;
  Poller::Get().CancelTimer(*this);
  for (size_t i = 0; i < link_count_; ++i) {
    links_[i].on.queue->Remove(links_[i].entry);
    links_[i].on = WaitOn();
  }
  if (links_ != inline_links_) delete[] links_;
  links_ = inline_links_;
  link_count_ = 0;
  state_.store(State::kIdle, std::memory_order_release);
}

bool Parker::Park() {
  State seen = State::kArmed;
  if (state_.compare_exchange_strong(seen, State::kParked, std::memory_order_acq_rel)) return true;
  assert(seen == State::kWoken);
  state_.store(State::kArmed, std::memory_order_release);
  return false;
}

void Parker::Interrupt() { Wake(); }

void Parker::OnEvent(Poll) { Wake(); }

void Parker::OnTimer() {
  expired_.store(true, std::memory_order_release);
  Wake();
}

void Parker::Wake() {
  State seen = state_.load(std::memory_order_acquire);
  while (seen == State::kArmed || seen == State::kParked) {
    // A parked task becomes armed again: whoever took it out of kParked owns its call.
    const State next = seen == State::kParked ? State::kArmed : State::kWoken;
    if (state_.compare_exchange_weak(seen, next, std::memory_order_acq_rel)) {
      if (next == State::kArmed) WakeScope::Schedule(*this);
      return;
    }
  }
}

WakeScope::WakeScope() : outermost_(!Wakes().in_scope) { Wakes().in_scope = true; }

void WakeScope::RunNotifies() {
  ThreadWakes& wakes = Wakes();
  while (!wakes.notifies.empty()) {
    const LaterNotify later = std::move(wakes.notifies.back());
    wakes.notifies.pop_back();
    later.queue->Notify(later.events);
  }
}

// The one that was woken first.
void WakeScope::RunOne() {
  ThreadWakes& wakes = Wakes();
  Parker* const parker = wakes.woken.first;
  wakes.woken.first = std::exchange(parker->next_woken_, nullptr);
  parker->OnWake();
  RunNotifies();
}

void WakeScope::LeaveAll() {
  const Woken mine = std::exchange(Wakes().woken, Woken());
  if (mine.first == nullptr) return;
  Held& held = TheHeld();
  absl::MutexLock lock(&held.mu);
  (held.woken.first != nullptr ? held.woken.last->next_woken_ : held.woken.first) = mine.first;
  held.woken.last = mine.last;
}

WakeScope::~WakeScope() {
  if (!outermost_) return;
  ThreadWakes& wakes = Wakes();
  RunNotifies();
  if (wakes.holds) LeaveAll();
  while (wakes.woken.first != nullptr) RunOne();
  wakes.in_scope = false;
}

void WakeScope::Hold(bool holds) { Wakes().holds = holds; }

void WakeScope::RunHeld() {
  Parker* first;
  {
    Held& held = TheHeld();
    absl::MutexLock lock(&held.mu);
    first = std::exchange(held.woken, Woken()).first;
  }
  while (first != nullptr) {
    Parker* const parker = first;
    first = std::exchange(parker->next_woken_, nullptr);
    const WakeScope scope;
    parker->OnWake();
  }
}

void WakeScope::NotifyLater(Ref<RefCounted> keep, WaitQueue& queue, Poll events) {
  if (Wakes().in_scope) {
    Wakes().notifies.push_back({std::move(keep), &queue, events});
  } else {
    Poller::Get().Post([keep = std::move(keep), &queue, events] { queue.Notify(events); });
  }
}

void WakeScope::Schedule(Parker& parker) {
  ThreadWakes& wakes = Wakes();
  if (!wakes.in_scope) {
    Poller::Get().Post([&parker] { parker.OnWake(); });
    return;
  }
  Woken& woken = wakes.woken;
  (woken.first != nullptr ? woken.last->next_woken_ : woken.first) = &parker;
  woken.last = &parker;
}

}  // namespace cloister::wait
