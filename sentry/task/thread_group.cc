#include "sentry/task/thread_group.h"

#include "sentry/task/kernel.h"
#include "sentry/task/process_timers.h"
#include "sentry/task/task.h"
#include "sentry/wait/block.h"

namespace cloister::task {
namespace {

constexpr rlim_t kUnlimited = RLIM_INFINITY;

// What a process begins with where config.json says nothing: Linux's own defaults.
std::array<rlimit, RLIM_NLIMITS> DefaultLimits() {
  std::array<rlimit, RLIM_NLIMITS> limits;
  limits.fill({kUnlimited, kUnlimited});
  limits[RLIMIT_STACK] = {8 << 20, kUnlimited};
  limits[RLIMIT_CORE] = {0, kUnlimited};
  limits[RLIMIT_NOFILE] = {1024, 1 << 20};
  limits[RLIMIT_MEMLOCK] = {8 << 20, 8 << 20};
  limits[RLIMIT_SIGPENDING] = {32768, 32768};
  limits[RLIMIT_NPROC] = {32768, 32768};
  limits[RLIMIT_MSGQUEUE] = {819200, 819200};
  limits[RLIMIT_NICE] = {0, 0};
  limits[RLIMIT_RTPRIO] = {0, 0};
  return limits;
}

}  // namespace

ThreadGroup::ThreadGroup(Kernel& kernel, pid_t pid, Ref<signal::SignalActions> actions)
    : actions(std::move(actions)),
      start_time_ns(wait::MonotonicNow()),
      kernel_(kernel),
      pid_(pid),
      limits_(DefaultLimits()) {}

ThreadGroup::~ThreadGroup() = default;

rlimit ThreadGroup::Limit(int resource) const {
  absl::MutexLock lock(&limits_mu_);
  return limits_[resource];
}

void ThreadGroup::SetLimit(int resource, rlimit limit) {
  absl::MutexLock lock(&limits_mu_);
  limits_[resource] = limit;
}

std::array<rlimit, RLIM_NLIMITS> ThreadGroup::Limits() const {
  absl::MutexLock lock(&limits_mu_);
  return limits_;
}

uint64_t ThreadGroup::ResidentBytes() const {
  Ref<mm::MemoryManager> mm;
  {
    absl::MutexLock lock(&kernel_.tree_mu());
    if (!tasks.empty()) mm = tasks.front()->GetMm();
  }
  return mm ? mm->TotalBytes() : 0;
}

ProcessTimers& ThreadGroup::timers() {
  absl::MutexLock lock(&timers_mu_);
  if (timers_ == nullptr) timers_ = std::make_unique<ProcessTimers>(*this);
  return *timers_;
}

void ThreadGroup::TellTimersOfTaken(siginfo_t& info) {
  if (info.si_code != SI_TIMER && info.si_signo != SIGALRM) return;
  if (ProcessTimers* timers = timers_if_any()) timers->OnTaken(info);
}

ProcessTimers* ThreadGroup::timers_if_any() {
  absl::MutexLock lock(&timers_mu_);
  return timers_.get();
}

}  // namespace cloister::task
