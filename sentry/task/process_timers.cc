#include "sentry/task/process_timers.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "sentry/task/kernel.h"
#include "sentry/task/task.h"
#include "sentry/task/thread_group.h"
#include "sentry/task/usage.h"
#include "sentry/wait/parker.h"

namespace cloister::task {
namespace {

constexpr size_t kMaxTimers = 4096;
constexpr int64_t kCpuLookAgainNs = 1'000'000;  // Linux: a tick at best

int64_t HostClock(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

// Both at least 0; what lies behind the end of time lies at it.
int64_t AddClipped(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

}  // namespace

int64_t TimerClockNow(const ThreadGroup& group, TimerClock clock) {
  switch (clock) {
    case TimerClock::kMonotonic:
      return HostClock(CLOCK_MONOTONIC);
    case TimerClock::kRealtime:
      return HostClock(CLOCK_REALTIME);
    case TimerClock::kProcessCpu:
      return static_cast<int64_t>(ProcessCpuNs(group));
  }
  return 0;
}

// One timer: armed with a time of its clock, woken by the poller.
class ProcessTimers::Timer final : public wait::TimerClient {
 public:
  Timer(ThreadGroup& group, TimerClock clock, Event event, int si_code, int id)
      : group_(group), clock_(clock), event_(event), si_code_(si_code), id_(id) {}
  ~Timer() { wait::Poller::Get().CancelTimer(*this); }

  Setting Set(Setting setting, bool absolute) {
    wait::Poller::Get().CancelTimer(*this);  // it sends nothing more
    if (si_code_ == SI_TIMER) Task::DiscardTimer(group_, id_);
    Setting old;
    {
      absl::MutexLock lock(&mu_);
      const int64_t now = TimerClockNow(group_, clock_);
      old = LeftLocked(now);
      interval_ns_ = setting.interval_ns;
      overrun_ = 0;
      queued_ = false;
      due_ = setting.value_ns == 0 ? 0 : absolute ? setting.value_ns : AddClipped(now, setting.value_ns);
    }
    Rearm(0);
    return old;
  }

  Setting Get() const {
    absl::MutexLock lock(&mu_);
    return LeftLocked(TimerClockNow(group_, clock_));
  }

  // Of the signal that was taken last, also while the next one pends. Linux: it_overrun_last.
  int overrun() const {
    absl::MutexLock lock(&mu_);
    return overrun_;
  }

  void OnTimer() override {
    {
      absl::MutexLock lock(&mu_);
      const int64_t now = TimerClockNow(group_, clock_);
      if (due_ != 0 && now < due_) return RearmLocked(now, 0);
      if (due_ == 0 || queued_) return;
      queued_ = interval_ns_ > 0;
      if (!queued_) due_ = 0;
    }
    const bool sent = Send();
    if (!sent) GoOn(kIgnoredNs);
    if (sent && ticks()) GoOn(0);
  }

  // Its signal was taken: the next expiry is set up. The overruns, or nothing if it was not waiting for this.
  std::optional<int> OnTaken() { return GoOn(0); }
  void OnDiscarded(signal::SignalSet signals) {
    if (signals.Has(event_.signo)) GoOn(kIgnoredNs);
  }

 private:
  // Linux: a timer whose signal is ignored goes on with ticks at best.
  static constexpr int64_t kIgnoredNs = 4'000'000;

  // ITIMER_VIRTUAL and ITIMER_PROF do not wait for their signal to be taken.
  bool ticks() const { return si_code_ != SI_TIMER && clock_ == TimerClock::kProcessCpu; }

  std::optional<int> GoOn(int64_t at_least) {
    absl::MutexLock lock(&mu_);
    if (!queued_) return std::nullopt;
    queued_ = false;
    const int64_t now = TimerClockNow(group_, clock_);
    const int64_t missed = std::max<int64_t>(0, now - due_) / interval_ns_;
    overrun_ = static_cast<int>(std::min<int64_t>(missed, INT32_MAX));
    due_ = AddClipped(due_, (missed + 1) * interval_ns_);
    RearmLocked(now, at_least);
    return overrun_;
  }

  Setting LeftLocked(int64_t now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (due_ == 0) return {0, interval_ns_};
    if (due_ > now) return {due_ - now, interval_ns_};
    // It expired and was not reset yet. One that notifies nobody never is.
    if (interval_ns_ > 0) return {interval_ns_ - (now - due_) % interval_ns_, interval_ns_};
    return {event_.notify ? 1 : 0, 0};
  }

  void Rearm(int64_t at_least) {
    absl::MutexLock lock(&mu_);
    RearmLocked(TimerClockNow(group_, clock_), at_least);
  }
  void RearmLocked(int64_t now, int64_t at_least) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (due_ == 0 || !event_.notify) return;
    int64_t left = std::max(at_least, due_ - now);
    if (clock_ == TimerClock::kProcessCpu) left = std::max(left, kCpuLookAgainNs);
    const int64_t monotonic = wait::MonotonicNow();
    wait::Poller::Get().SetTimer(*this,
                                 left < wait::kNever - monotonic ? monotonic + left : wait::kNever - 1);
  }

  bool Send() {
    Kernel& kernel = group_.kernel();
    siginfo_t info = {};
    info.si_signo = event_.signo;
    info.si_code = si_code_;
    if (si_code_ == SI_TIMER) {
      info.si_timerid = id_;
      info.si_value.sival_ptr = reinterpret_cast<void*>(event_.value);
    }
    absl::MutexLock lock(&kernel.tree_mu());
    if (event_.tid == 0) return Task::SendToGroupLocked(group_, info);
    Task* const task = kernel.FindTaskLocked(event_.tid);
    return task != nullptr && &task->group() == &group_ && task->SendToThreadLocked(info);
  }

  ThreadGroup& group_;
  const TimerClock clock_;
  const Event event_;
  const int si_code_;
  const int id_;
  mutable absl::Mutex mu_;                // above Poller::mu_
  int64_t due_ ABSL_GUARDED_BY(mu_) = 0;  // on clock_; 0: disarmed
  int64_t interval_ns_ ABSL_GUARDED_BY(mu_) = 0;
  bool queued_ ABSL_GUARDED_BY(mu_) = false;  // repeats, and waits until its signal is taken
  int overrun_ ABSL_GUARDED_BY(mu_) = 0;
};

// RLIMIT_CPU. Linux: check_process_timers.
class ProcessTimers::CpuLimit final : public wait::TimerClient {
 public:
  explicit CpuLimit(ThreadGroup& group) : group_(group) {}
  ~CpuLimit() { wait::Poller::Get().CancelTimer(*this); }

  void OnTimer() override {
    rlimit limit = group_.Limit(RLIMIT_CPU);
    const int64_t used = TimerClockNow(group_, TimerClock::kProcessCpu);
    if (used >= SecondsToNs(limit.rlim_max)) {
      Send(SIGKILL);
      return;
    }
    if (used >= SecondsToNs(limit.rlim_cur)) {
      Send(SIGXCPU);
      // Once a second: the soft limit itself moves on, as getrlimit(2) shows.
      limit.rlim_cur = std::min(limit.rlim_cur + 1, limit.rlim_max);
      group_.SetLimit(RLIMIT_CPU, limit);
    }
    Rearm();
  }

  void Rearm() {
    const rlimit limit = group_.Limit(RLIMIT_CPU);
    const int64_t due = SecondsToNs(std::min(limit.rlim_cur, limit.rlim_max));
    if (due == INT64_MAX) {
      Cancel();
      return;
    }
    const int64_t left = std::max<int64_t>(due - TimerClockNow(group_, TimerClock::kProcessCpu), 0);
    wait::Poller::Get().SetTimer(*this, AddClipped(wait::MonotonicNow(), std::max(left, kCpuLookAgainNs)));
  }

  void Cancel() { wait::Poller::Get().CancelTimer(*this); }

 private:
  static int64_t SecondsToNs(rlim_t seconds) {
    constexpr int64_t kNs = 1'000'000'000;
    return seconds >= static_cast<rlim_t>(INT64_MAX / kNs) ? INT64_MAX : static_cast<int64_t>(seconds) * kNs;
  }

  void Send(int signo) {
    siginfo_t info = {};
    info.si_signo = signo;
    info.si_code = SI_KERNEL;
    absl::MutexLock lock(&group_.kernel().tree_mu());
    Task::SendToGroupLocked(group_, info);
  }

  ThreadGroup& group_;
};

void ProcessTimers::WatchCpuLimit() { cpu_limit_->Rearm(); }

ProcessTimers::ProcessTimers(ThreadGroup& group)
    : group_(group), cpu_limit_(std::make_unique<CpuLimit>(group)) {
  const std::pair<TimerClock, int> kinds[3] = {{TimerClock::kMonotonic, SIGALRM},
                                               {TimerClock::kProcessCpu, SIGVTALRM},
                                               {TimerClock::kProcessCpu, SIGPROF}};
  for (int i = 0; i < 3; ++i) {
    Event event;
    event.signo = kinds[i].second;
    intervals_[i] = std::make_unique<Timer>(group, kinds[i].first, event, SI_KERNEL, 0);
  }
}

ProcessTimers::~ProcessTimers() = default;

ProcessTimers::Setting ProcessTimers::SetInterval(int which, Setting setting) {
  return intervals_[which]->Set(setting, false);
}

ProcessTimers::Setting ProcessTimers::GetInterval(int which) const { return intervals_[which]->Get(); }

ErrnoOr<int> ProcessTimers::Create(clockid_t, TimerClock kind, std::optional<Event> event) {
  absl::MutexLock lock(&mu_);
  if (timers_.size() >= kMaxTimers) return Errno::kAgain;
  const int id = next_id_++;
  if (!event.has_value()) event = Event{.value = static_cast<uint64_t>(id)};
  timers_[id] = std::make_shared<Timer>(group_, kind, *event, SI_TIMER, id);
  return id;
}

std::shared_ptr<ProcessTimers::Timer> ProcessTimers::Find(int id) const {
  absl::MutexLock lock(&mu_);
  const auto it = timers_.find(id);
  return it == timers_.end() ? nullptr : it->second;
}

ErrnoOrVoid ProcessTimers::Delete(int id) {
  std::shared_ptr<Timer> gone;
  {
    absl::MutexLock lock(&mu_);
    const auto it = timers_.find(id);
    if (it == timers_.end()) return Errno::kInval;
    gone = std::move(it->second);
    timers_.erase(it);
  }
  gone->Set({}, false);
  return {};
}

ErrnoOr<ProcessTimers::Setting> ProcessTimers::Set(int id, Setting setting, bool absolute) {
  const std::shared_ptr<Timer> timer = Find(id);
  if (timer == nullptr) return Errno::kInval;
  return timer->Set(setting, absolute);
}

ErrnoOr<ProcessTimers::Setting> ProcessTimers::Get(int id) const {
  const std::shared_ptr<Timer> timer = Find(id);
  if (timer == nullptr) return Errno::kInval;
  return timer->Get();
}

ErrnoOr<int> ProcessTimers::Overrun(int id) const {
  const std::shared_ptr<Timer> timer = Find(id);
  if (timer == nullptr) return Errno::kInval;
  return timer->overrun();
}

void ProcessTimers::OnTaken(siginfo_t& info) {
  if (info.si_signo == SIGALRM) intervals_[ITIMER_REAL]->OnTaken();
  if (info.si_code != SI_TIMER) return;
  const std::shared_ptr<Timer> timer = Find(info.si_timerid);
  if (timer == nullptr) return;
  if (const std::optional<int> overrun = timer->OnTaken()) info.si_overrun = *overrun;
}

void ProcessTimers::OnDiscarded(signal::SignalSet signals) {
  for (const std::unique_ptr<Timer>& timer : intervals_) timer->OnDiscarded(signals);
  absl::MutexLock lock(&mu_);
  for (const auto& [id, timer] : timers_) timer->OnDiscarded(signals);
}

void ProcessTimers::DropPosixTimers() {
  for (const auto& [id, timer] : TakePosixTimers()) timer->Set({}, false);
}

std::map<int, std::shared_ptr<ProcessTimers::Timer>> ProcessTimers::TakePosixTimers() {
  absl::MutexLock lock(&mu_);
  return std::exchange(timers_, {});
}

void ProcessTimers::StopAll() {
  cpu_limit_->Cancel();
  for (const std::unique_ptr<Timer>& timer : intervals_) timer->Set({}, false);
  DropPosixTimers();
}

}  // namespace cloister::task
