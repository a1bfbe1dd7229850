#include "platform/systrap/watch.h"

#include <sched.h>

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

Watch::Watch(Turns* turns, int cores, bool enabled, platform::Sideline* sideline)
    : turns_(turns), cores_(cores), enabled_(enabled && cores > 1), crowd_(sideline) {}

Watch::~Watch() = default;

// Guests that run and workers that spin each need a core.
bool Watch::CoreIsFree(int more, int64_t now) const {
  return turns_->Busy(now) + watchers_.load(std::memory_order_relaxed) + more <= cores_;
}

// A thread that comes to a watcher that is there costs nothing.
bool Watch::MayWatch(const Thread& thread, int64_t now) {
  if (watchers_.load(std::memory_order_relaxed) > 0) return crowd_.core() >= 0 || CoreIsFree(0, now);
  if (crowd_.MayBegin(turns_->Busy(now), now)) return thread.habit.CallsSoon();
  return now >= not_before_.load(std::memory_order_relaxed) && CoreIsFree(1, now) &&
         thread.habit.CallsOften();
}

bool Watch::List(Thread& thread) {
  if (thread.listed.load(std::memory_order_relaxed)) return true;
  absl::MutexLock lock(&mu_);
  if (threads_.size() == kMost) return false;
  if (const int core = crowd_.core(); core >= 0) thread.home_cores.KeepOff(thread.bound_tid(), core);
  threads_.emplace_back(&thread);
  thread.listed.store(true, std::memory_order_relaxed);
  version_.fetch_add(1, std::memory_order_release);
  return true;
}

Watch::Verdict Watch::Add(Thread& thread) {
  const pid_t tid = thread.bound_tid();
  if (!enabled_ || tid == 0) return Verdict::kNo;
  const int64_t now = NowNs();
  crowd_.rate().Count(tid, thread.host_pid(), now);
  if (!MayWatch(thread, now) || !List(thread)) return Verdict::kNo;
  thread.Arm(now);
  // Armed first, asked then: the last watcher says that it leaves before it disarms (DropAll).
  return watchers_.load() > 0 ? Verdict::kWatched : Verdict::kSpin;
}

void Watch::LetGo(Thread& thread) {
  if (!thread.listed.load(std::memory_order_relaxed)) return;
  absl::MutexLock lock(&mu_);
  thread.home_cores.Restore(thread.bound_tid());
}

void Watch::Stay(Thread& thread) {
  absl::MutexLock lock(&mu_);
  thread.home_cores.Stay(thread.bound_tid());
}

void Watch::EndStay(Thread& thread) {
  absl::MutexLock lock(&mu_);
  thread.home_cores.Go();
}

bool Watch::GetCores(const Thread& thread, cpu_set_t* cores) {
  absl::MutexLock lock(&mu_);
  const cpu_set_t* const home = thread.home_cores.kept_from();
  if (home != nullptr) *cores = *home;
  return home != nullptr;
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
  thread.home_cores.Restore(thread.bound_tid());
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

void Watch::BeginCrowd(View* view, int64_t now) {
  view->serves_crowd = crowd_.Begin(now);
  if (!view->serves_crowd) return;
  absl::MutexLock lock(&mu_);
  for (const Ref<Thread>& thread : threads_) thread->home_cores.KeepOff(thread->bound_tid(), crowd_.core());
}

void Watch::EndCrowd(View* view) {
  if (!std::exchange(view->serves_crowd, false)) return;
  crowd_.End(NowNs());
  absl::MutexLock lock(&mu_);
  for (const Ref<Thread>& thread : threads_) thread->home_cores.Restore(thread->bound_tid());
}

// Whether the watcher may keep its core.
bool Watch::Pays(View* view, int64_t now) {
  if (view->serves_crowd) return crowd_.rate().IsDense(now);
  if (CoreIsFree(0, now)) return true;
  if (crowd_.MayBegin(turns_->Busy(now), now)) BeginCrowd(view, now);
  return view->serves_crowd;
}

Ref<Thread> Watch::Spin(View* view) {
  int64_t before = NowNs();
  int64_t until = before + kLingerNs;
  if (view->serves_crowd) crowd_.BetweenCalls(turns_->Busy(before), before);
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
    if (view->serves_crowd) sched_yield();  // to workers that were on this core before
    const int64_t now = NowNs();
    for (const Ref<Thread>& thread : view->threads) until = std::max(until, thread->armed_at() + kLingerNs);
    const bool lost = !view->serves_crowd && now - before > kJumpNs;
    if (lost) LostCore(now);
    if (lost || (now > until && !view->serves_crowd) || !Pays(view, now)) return nullptr;
    if (view->serves_crowd) crowd_.BetweenCalls(turns_->Busy(now), now);
    before = NowNs();
  }
}

Ref<Thread> Watch::Await(View* view) {
  watchers_.fetch_add(1);
  turns_->EnsureListener();
  Ref<Thread> posted = Spin(view);
  watchers_.fetch_sub(1);
  if (posted) return posted;
  EndCrowd(view);
  for (const Ref<Thread>& thread : view->threads) thread->habit.Missed();
  Refresh(view);
  if (watchers_.load() == 0) posted = DropAll(*view);
  if (!posted) *view = View();
  return posted;
}

}  // namespace cloister::systrap
