#include "sentry/ipc/pi_futexes.h"

#include <linux/futex.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "sentry/usermem/user_ptr.h"

namespace cloister::ipc {
namespace {

using usermem::UserPtr;
using Next = PiFutexes::Progress::Next;

constexpr uint32_t kTidMask = FUTEX_TID_MASK;

ErrnoOr<uint32_t> ReadWord(mm::MemoryManager& mm, uint64_t addr) {
  return usermem::CopyIn(mm.space(), UserPtr<const uint32_t>(addr));
}

ErrnoOrVoid WriteWord(mm::MemoryManager& mm, uint64_t addr, uint32_t word) {
  return usermem::CopyOut(mm.space(), UserPtr<uint32_t>(addr), word);
}

pid_t OwnerOf(uint32_t word) { return static_cast<pid_t>(word & kTidMask); }

}  // namespace

PiFutexes& PiFutexes::Get() {
  static PiFutexes* const futexes = new PiFutexes;
  return *futexes;
}

bool PiFutexes::HasWaitersLocked(const FutexKey& key) const { return waiting_.contains(key); }

void PiFutexes::FinishLocked(PiWaiter& waiter, PiWaiter::State state) {
  waiter.state_.store(state, std::memory_order_release);
  waiter.queue_.Notify(wait::Poll::kIn);
}

bool PiFutexes::HandOverLocked(const FutexKey& key, bool died) {
  const auto found = waiting_.find(key);
  if (found == waiting_.end()) return false;
  bool given = false;
  while (!given && !found->second.empty()) {
    const Ref<PiWaiter> waiter = std::move(found->second.front());
    found->second.pop_front();
    waiters_.fetch_sub(1);
    const uint32_t word =
        FUTEX_WAITERS | static_cast<uint32_t>(waiter->tid_) | (died ? FUTEX_OWNER_DIED : 0u);
    given = WriteWord(*waiter->mm_, waiter->addr_, word).ok();
    FinishLocked(*waiter, given ? PiWaiter::State::kGranted : PiWaiter::State::kFailed);
  }
  if (found->second.empty()) waiting_.erase(found);
  return given;
}

// The owner lets go of the lock; word: what it is now.
void PiFutexes::ReleaseLocked(mm::MemoryManager& mm, uint64_t addr, const FutexKey& key, uint32_t word) {
  const uint32_t died = word & FUTEX_OWNER_DIED;
  if (!HandOverLocked(key, died != 0)) static_cast<void>(WriteWord(mm, addr, died));
}

void PiFutexes::EnqueueLocked(PiWaiter& waiter) {
  waiter.state_.store(PiWaiter::State::kWaiting, std::memory_order_release);
  waiting_[waiter.key_].push_back(Ref<PiWaiter>(&waiter));
  waiters_.fetch_add(1);  // before its owner is asked after: ExitOwner
}

void PiFutexes::DequeueLocked(PiWaiter& waiter) {
  if (RemoveFrom(waiting_, waiter)) waiters_.fetch_sub(1);
  waiter.state_.store(PiWaiter::State::kIdle, std::memory_order_release);
}

ErrnoOr<PiFutexes::Progress> PiFutexes::Lock(PiWaiter& waiter, bool exchanged, bool try_only,
                                             OwnerState owner) {
  absl::MutexLock lock(&mu_);
  const PiWaiter::State state = waiter.state_.load(std::memory_order_acquire);
  if (state != PiWaiter::State::kIdle) {
    if (exchanged || state != PiWaiter::State::kWaiting) return Progress{.next = Next::kQueued};
    DequeueLocked(waiter);
  }
  const uint32_t word = TRY(ReadWord(*waiter.mm_, waiter.addr_));
  const pid_t holder = OwnerOf(word);
  if (holder == waiter.tid_) return Errno::kDeadLk;
  if (holder == 0) {
    const uint32_t waiters = HasWaitersLocked(waiter.key_) ? FUTEX_WAITERS : 0u;
    const uint32_t taken = static_cast<uint32_t>(waiter.tid_) | (word & FUTEX_OWNER_DIED) | waiters;
    return Progress{.next = Next::kExchange, .expected = word, .desired = taken, .takes = true};
  }
  if (try_only) return Errno::kAgain;
  EnqueueLocked(waiter);
  const Owner lives = owner(holder);
  if (lives != Owner::kLives) DequeueLocked(waiter);
  if (lives == Owner::kNone) return Errno::kSrch;
  if (lives == Owner::kGoes) return Progress{.next = Next::kOwnerIsGoing};
  if ((word & FUTEX_WAITERS) != 0) return Progress{.next = Next::kQueued};
  return Progress{.next = Next::kExchange, .expected = word, .desired = word | FUTEX_WAITERS};
}

ErrnoOrVoid PiFutexes::Unlock(mm::MemoryManager& mm, uint64_t addr, const FutexKey& key, pid_t tid) {
  absl::MutexLock lock(&mu_);
  const uint32_t word = TRY(ReadWord(mm, addr));
  if (OwnerOf(word) != tid) return Errno::kPerm;
  if (HandOverLocked(key, false)) return {};
  return WriteWord(mm, addr, 0);
}

ErrnoOrVoid PiFutexes::WaitForRequeue(PiWaiter& waiter, uint64_t addr, const FutexKey& at,
                                      uint32_t expected) {
  absl::MutexLock lock(&mu_);
  if (TRY(ReadWord(*waiter.mm_, addr)) != expected) return Errno::kAgain;
  waiter.state_.store(PiWaiter::State::kWaiting, std::memory_order_release);
  parked_[at].push_back(Ref<PiWaiter>(&waiter));
  return {};
}

// Moves up to limit waiters to the lock, which somebody holds.
ErrnoOr<int> PiFutexes::MoveLocked(const RequeueRequest& request, int limit) {
  const auto found = parked_.find(request.from);
  if (found == parked_.end()) return 0;
  Queue& from = found->second;
  const size_t most = std::min(from.size(), static_cast<size_t>(std::max(limit, 0)));
  for (size_t i = 0; i < most; ++i) {
    if (!(from[i]->key_ == request.lock)) return Errno::kInval;
  }
  if (most > 0) {
    Queue& to = waiting_[request.lock];
    for (size_t i = 0; i < most; ++i) {
      to.push_back(std::move(from.front()));
      from.pop_front();
    }
    waiters_.fetch_add(most);
  }
  if (from.empty()) parked_.erase(found);
  return static_cast<int>(most);
}

ErrnoOr<PiFutexes::Progress> PiFutexes::Requeue(const RequeueRequest& request, bool exchanged,
                                                Ref<PiWaiter>* chosen, OwnerState owner) {
  absl::MutexLock lock(&mu_);
  Progress done;
  const bool was_for_first = static_cast<bool>(*chosen);
  if (was_for_first) {
    const Ref<PiWaiter> winner = std::move(*chosen);
    if (exchanged && RemoveFrom(parked_, *winner)) {
      FinishLocked(*winner, PiWaiter::State::kGranted);
      done.count = 1;
    } else if (exchanged) {  // it has given up meanwhile
      ReleaseLocked(request.mm, request.lock_addr, request.lock,
                    TRY(ReadWord(request.mm, request.lock_addr)));
    }
  }
  if (done.count == 0 && TRY(ReadWord(request.mm, request.addr)) != request.expected) return Errno::kAgain;
  const auto found = parked_.find(request.from);
  if (found == parked_.end()) return done;
  const Ref<PiWaiter> first = found->second.front();
  if (!(first->key_ == request.lock)) return Errno::kInval;
  const uint32_t word = TRY(ReadWord(request.mm, request.lock_addr));
  const pid_t holder = OwnerOf(word);
  if (holder == 0) {
    *chosen = first;
    const uint32_t taken = static_cast<uint32_t>(first->tid_) | (word & FUTEX_OWNER_DIED) | FUTEX_WAITERS;
    return Progress{.next = Next::kExchange, .expected = word, .desired = taken, .takes = true};
  }
  if (holder == first->tid_) return Errno::kDeadLk;
  const bool marked = exchanged && !was_for_first && (word & FUTEX_WAITERS) != 0;
  return MoveToHeldLocked(request, word, marked, done.count, owner);
}

// marked: this call set the bit FUTEX_WAITERS, when the owner was alive.
ErrnoOr<PiFutexes::Progress> PiFutexes::MoveToHeldLocked(const RequeueRequest& request, uint32_t word,
                                                         bool marked, int count, OwnerState owner) {
  waiters_.fetch_add(1);  // as in EnqueueLocked
  const absl::Cleanup moved = [this] { waiters_.fetch_sub(1); };
  const Owner lives = owner(OwnerOf(word));
  if (lives == Owner::kNone && !marked) return Errno::kSrch;
  if (lives == Owner::kGoes && !marked) return Progress{.next = Next::kOwnerIsGoing};
  if ((word & FUTEX_WAITERS) == 0)
    return Progress{.next = Next::kExchange, .expected = word, .desired = word | FUTEX_WAITERS};
  count += TRY(MoveLocked(request, request.most - count));
  if (lives != Owner::kLives) HandOverLocked(request.lock, true);
  return Progress{.count = count};
}

bool PiFutexes::RemoveFrom(absl::flat_hash_map<FutexKey, Queue>& queues, PiWaiter& waiter) {
  for (auto it = queues.begin(); it != queues.end(); ++it) {
    Queue& queue = it->second;
    const auto found = std::find_if(queue.begin(), queue.end(),
                                    [&](const Ref<PiWaiter>& one) { return one.get() == &waiter; });
    if (found == queue.end()) continue;
    queue.erase(found);
    if (queue.empty()) queues.erase(it);
    return true;
  }
  return false;
}

void PiFutexes::Leave(PiWaiter& waiter) {
  const Ref<PiWaiter> keep(&waiter);
  absl::MutexLock lock(&mu_);
  const PiWaiter::State state = waiter.state_.load(std::memory_order_acquire);
  if (state == PiWaiter::State::kWaiting) {
    RemoveFrom(parked_, waiter);
    DequeueLocked(waiter);
  } else if (state == PiWaiter::State::kGranted && !waiter.taken_) {
    const ErrnoOr<uint32_t> word = ReadWord(*waiter.mm_, waiter.addr_);
    if (word.ok() && OwnerOf(*word) == waiter.tid_)
      ReleaseLocked(*waiter.mm_, waiter.addr_, waiter.key_, *word);
  }
}

void PiFutexes::ExitOwner(pid_t tid) {
  if (waiters_.load() == 0) return;  // whoever comes now finds the owner gone
  absl::MutexLock lock(&mu_);
  std::vector<FutexKey> free;
  for (const auto& [key, queue] : waiting_) {
    const ErrnoOr<uint32_t> word = ReadWord(*queue.front()->mm_, queue.front()->addr_);
    if (!word.ok() || *word == 0) continue;  // 0: let go of; who waits is on the way to find that out
    if (OwnerOf(*word) == tid || OwnerOf(*word) == 0) free.push_back(key);
  }
  for (const FutexKey& key : free) HandOverLocked(key, true);
}

ErrnoOrVoid PiWaiter::TakeGrant() {
  switch (state_.load(std::memory_order_acquire)) {
    case State::kGranted:
      taken_ = true;
      return {};
    case State::kFailed:
      return Errno::kFault;
    case State::kIdle:
    case State::kWaiting:
      return Errno::kAgain;
  }
  return Errno::kAgain;
}

void PiWaiter::Drop() { PiFutexes::Get().Leave(*this); }

}  // namespace cloister::ipc
