#include "platform/systrap/housekeeper.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "platform/systrap/births.h"
#include "platform/systrap/thread.h"

namespace cloister::systrap {
namespace {

// How long a child may take from its clone to its hello before it is taken for dead.
constexpr absl::Duration kPatience = absl::Seconds(2);

struct Posted {
  bool is_worker = false;
  std::vector<Ref<Thread>> gone;
};
thread_local Posted posted;

}  // namespace

void Housekeeper::BecomeWorker() { posted.is_worker = true; }

void Housekeeper::SayPosted() {
  while (!posted.gone.empty()) {
    std::vector<Ref<Thread>> now;
    now.swap(posted.gone);
    for (const Ref<Thread>& thread : now) thread->Gone(0);
  }
}

void Housekeeper::PostGone(Ref<Thread> thread) {
  if (posted.is_worker) {
    posted.gone.push_back(std::move(thread));
    return;
  }
  absl::MutexLock lock(&mu_);
  gone_.push_back(std::move(thread));
  wake_.Signal();
}

void Housekeeper::SuspectBirths() {
  if (births_->Oldest() == absl::InfiniteFuture()) return;
  absl::MutexLock lock(&mu_);
  if (look_at_births_ != absl::InfiniteFuture()) return;
  look_at_births_ = absl::Now() + kPatience;
  wake_.Signal();
}

void Housekeeper::GiveUpOldBirths() {
  for (const Ref<Thread>& child : births_->TakeOld(absl::Now() - kPatience)) child->Gone(0);
  SuspectBirths();
}

void Housekeeper::Run() {
  for (;;) {
    Ref<Thread> thread;
    bool look = false;
    {
      absl::MutexLock lock(&mu_);
      while (gone_.empty() && !stop_ && absl::Now() < look_at_births_) {
        wake_.WaitWithDeadline(&mu_, look_at_births_);
      }
      if (!gone_.empty()) {
        thread = std::move(gone_.front());
        gone_.pop_front();
      } else if (stop_) {
        return;
      } else {
        look_at_births_ = absl::InfiniteFuture();
        look = true;
      }
    }
    if (thread) thread->Gone(0);
    if (look) GiveUpOldBirths();
  }
}

void Housekeeper::Stop() {
  absl::MutexLock lock(&mu_);
  stop_ = true;
  wake_.Signal();
}

}  // namespace cloister::systrap
