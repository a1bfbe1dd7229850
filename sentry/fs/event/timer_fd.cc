#include "sentry/fs/event/timer_fd.h"

#include <algorithm>

namespace cloister::event {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// a + b, or the latest time there is.
int64_t AddClipped(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? wait::kNever : sum;
}

}  // namespace

TimerFd::TimerFd(int flags, auth::CredRef cred, clockid_t clock)
    : AnonFile(flags, std::move(cred), "[timerfd]"), clock_(clock) {}

TimerFd::~TimerFd() { wait::Poller::Get().CancelTimer(*this); }

int64_t TimerFd::Now() const {
  timespec now;
  clock_gettime(clock_, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

// Sets the poller's timer for next_, which it knows on its own clock only.
void TimerFd::ArmLocked() {
  const int64_t left = next_ == wait::kNever ? wait::kNever : next_ - Now();
  const bool never = next_ == 0 || left == wait::kNever;
  const wait::MonotonicNs at =
      never ? wait::kNever : AddClipped(wait::MonotonicNow(), std::max<int64_t>(0, left));
  // Far away instead of cancelled: cancelling waits for OnTimer, which wants our lock.
  wait::Poller::Get().SetTimer(*this, at);
}

// Notes what has expired by now. An interval timer then waits for its next read.
void TimerFd::CountLocked() {
  if (next_ == 0) return;
  const int64_t now = Now();
  if (now < next_) return;
  if (interval_ == 0) {
    ++expired_;
    next_ = 0;
    return;
  }
  const int64_t passed = (now - next_) / interval_ + 1;
  expired_ += static_cast<uint64_t>(passed);
  next_ = AddClipped(next_, passed * interval_);
}

TimerFd::Setting TimerFd::GetLocked() {
  CountLocked();
  if (next_ == 0) return {0, interval_};
  return {std::max<int64_t>(1, next_ - Now()), interval_};
}

TimerFd::Setting TimerFd::Set(const Setting& setting, bool absolute) {
  absl::MutexLock lock(&mu_);
  const Setting old = GetLocked();
  interval_ = setting.interval_ns;
  expired_ = 0;
  next_ = setting.value_ns;
  if (next_ != 0 && !absolute) next_ = AddClipped(Now(), next_);
  ArmLocked();
  return old;
}

TimerFd::Setting TimerFd::Get() {
  absl::MutexLock lock(&mu_);
  const Setting now = GetLocked();
  if (next_ != 0) ArmLocked();
  return now;
}

ErrnoOr<size_t> TimerFd::Read(UserBuffer& dst) {
  if (dst.size() < sizeof(uint64_t)) return Errno::kInval;
  uint64_t taken;
  {
    absl::MutexLock lock(&mu_);
    CountLocked();
    if (expired_ == 0) return Errno::kAgain;
    taken = expired_;
    expired_ = 0;
    if (next_ != 0) ArmLocked();
  }
  TRY_VOID(dst.CopyOutObject(taken));
  return sizeof(taken);
}

Poll TimerFd::Ready() const {
  absl::MutexLock lock(&mu_);
  return expired_ > 0 || (next_ != 0 && Now() >= next_) ? Poll::kIn : Poll::kNone;
}

void TimerFd::OnTimer() {
  {
    absl::MutexLock lock(&mu_);
    CountLocked();
    if (expired_ == 0) {
      // Disarmed meanwhile, or the wall clock was set back.
      if (next_ != 0) ArmLocked();
      return;
    }
  }
  queue_.Notify(Poll::kIn);
}

}  // namespace cloister::event
