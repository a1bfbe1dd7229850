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

void Watch::Refresh(View* view) {
  const uint64_t now = version_.load(std::memory_order_acquire);
  if (now == view->version) return;
  view->version = now;
  std::vector<Ref<Thread>> old;  // dropped outside the lock
  absl::MutexLock lock(&mu_);
  old.swap(view->threads);
  view->threads = threads_;
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

Ref<Thread> Watch::DropAll(const View& view) {
  for (const Ref<Thread>& thread : view.threads) {
    if (Drop(*thread)) return thread;
  }
  return nullptr;
}

Ref<Thread> Watch::Spin(View* view) {
  int64_t before = NowNs();
  int64_t until = before + kLingerNs;
  for (int look = 1;; ++look) {
    Refresh(view);
    for (const Ref<Thread>& thread : view->threads) {
      if (!thread->ClaimIfPosted()) continue;
      next_break_.store(0, std::memory_order_relaxed);
      return thread;
    }
    if (look % kLooks != 0) {
      __builtin_ia32_pause();
      continue;
    }
    const int64_t now = NowNs();
    for (const Ref<Thread>& thread : view->threads) until = std::max(until, thread->armed_at() + kLingerNs);
    const bool lost = now - before > kJumpNs;
    if (lost) LostCore(now);
    before = now;
    if (lost || now > until || !CoreIsFree(0)) return nullptr;
  }
}

Ref<Thread> Watch::Await(View* view) {
  watchers_.fetch_add(1);
  turns_->EnsureListener();
  Ref<Thread> posted = Spin(view);
  watchers_.fetch_sub(1);
  if (posted) return posted;
  for (const Ref<Thread>& thread : view->threads) thread->MissedWatch();
  Refresh(view);
  if (watchers_.load() == 0) posted = DropAll(*view);
  if (!posted) *view = View();
  return posted;
}

}  // namespace cloister::systrap
