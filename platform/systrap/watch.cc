#include "platform/systrap/watch.h"

#include <time.h>

#include <algorithm>
#include <utility>

#include "platform/systrap/thread.h"
#include "platform/systrap/turns.h"

namespace cloister::systrap {
namespace {

constexpr int64_t kLingerNs = 100'000;  // after the last answer to a watched thread
constexpr int kLooks = 32;              // between two looks at the clock
// A watcher that sees the clock jump so far was not running: somebody else wants its core.
constexpr int64_t kJumpNs = 150'000;
constexpr int64_t kFirstBreakNs = 1'000'000, kLongestBreakNs = 64'000'000;
constexpr size_t kMost = 8;

}  // namespace

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Watch::Watch(Turns* turns, int cores, bool enabled)
    : turns_(turns), cores_(cores), enabled_(enabled && cores > 1) {}

Watch::~Watch() = default;

// Guests that run and workers that spin each need a core.
bool Watch::CoreIsFree(int more) const {
  return turns_->running() + watchers_.load(std::memory_order_relaxed) + more <= cores_;
}

Watch::Verdict Watch::Add(Thread& thread) {
  if (!enabled_ || !thread.CallsOften()) return Verdict::kNo;
  const bool spins = watchers_.load(std::memory_order_relaxed) > 0;
  if (!CoreIsFree(spins ? 0 : 1)) return Verdict::kNo;
  const int64_t now = NowNs();
  if (!spins && now < not_before_.load(std::memory_order_relaxed)) return Verdict::kNo;
  if (!thread.listed.load(std::memory_order_relaxed)) {
    absl::MutexLock lock(&mu_);
    if (threads_.size() == kMost) return Verdict::kNo;
    threads_.emplace_back(&thread);
    thread.listed.store(true, std::memory_order_relaxed);
    version_.fetch_add(1, std::memory_order_release);
  }
  thread.Arm(now);
  // Armed first, asked then: the last watcher says that it leaves before it disarms (DropAll).
  return watchers_.load() > 0 ? Verdict::kWatched : Verdict::kSpin;
}

void Watch::Refresh(std::vector<Ref<Thread>>* mine, uint64_t* version) {
  const uint64_t now = version_.load(std::memory_order_acquire);
  if (now == *version) return;
  *version = now;
  std::vector<Ref<Thread>> old;  // dropped outside the lock
  absl::MutexLock lock(&mu_);
  old.swap(*mine);
  *mine = threads_;
}

void Watch::Remove(Thread& thread) {
  Ref<Thread> last;  // dropped outside the lock
  absl::MutexLock lock(&mu_);
  const auto found = std::ranges::find(threads_, &thread, &Ref<Thread>::get);
  if (found == threads_.end()) return;
  last = std::move(*found);
  threads_.erase(found);
  thread.listed.store(false, std::memory_order_relaxed);
  version_.fetch_add(1, std::memory_order_release);
}

bool Watch::Drop(Thread& thread) {
  if (thread.Disarm() == Thread::Disarmed::kClaimed) return true;
  Remove(thread);
  return false;
}

void Watch::LostCore(int64_t now) {
  const int64_t pause = std::max(next_break_.load(std::memory_order_relaxed), kFirstBreakNs);
  not_before_.store(now + pause, std::memory_order_relaxed);
  next_break_.store(std::min(pause * 2, kLongestBreakNs), std::memory_order_relaxed);
}

Ref<Thread> Watch::DropAll(const std::vector<Ref<Thread>>& mine) {
  for (const Ref<Thread>& thread : mine) {
    if (Drop(*thread)) return thread;
  }
  return nullptr;
}

Ref<Thread> Watch::Await() {
  watchers_.fetch_add(1);
  turns_->EnsureListener();
  std::vector<Ref<Thread>> mine;
  uint64_t version = ~uint64_t{0};
  int64_t before = NowNs();
  int64_t until = before + kLingerNs;
  Ref<Thread> posted;
  for (int look = 1; !posted; ++look) {
    Refresh(&mine, &version);
    for (const Ref<Thread>& thread : mine) {
      if (thread->ClaimIfPosted()) {
        posted = thread;
        next_break_.store(0, std::memory_order_relaxed);
        break;
      }
    }
    if (posted || look % kLooks != 0) {
      __builtin_ia32_pause();
      continue;
    }
    const int64_t now = NowNs();
    for (const Ref<Thread>& thread : mine) until = std::max(until, thread->armed_at() + kLingerNs);
    const bool lost = now - before > kJumpNs;
    if (lost) LostCore(now);
    before = now;
    if (lost || now > until || !CoreIsFree(0)) break;
  }
  watchers_.fetch_sub(1);
  if (posted) return posted;
  for (const Ref<Thread>& thread : mine) thread->MissedWatch();
  Refresh(&mine, &version);
  return watchers_.load() > 0 ? nullptr : DropAll(mine);
}

}  // namespace cloister::systrap
