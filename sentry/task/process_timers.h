#ifndef CLOISTER_SENTRY_TASK_PROCESS_TIMERS_H_
#define CLOISTER_SENTRY_TASK_PROCESS_TIMERS_H_

#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/signal/signal_set.h"
#include "sentry/wait/block.h"
#include "sentry/wait/poller.h"

namespace cloister::task {

class ThreadGroup;

// What time a timer counts.
enum class TimerClock {
  kMonotonic,  // CLOCK_MONOTONIC and CLOCK_BOOTTIME
  kRealtime,
  kProcessCpu,  // CPU time of the process: the host's clock of its host process
};

// setitimer(2) and timer_create(2) of one process. Linux: signal_struct's timers. Thread-safe.
// CPU-time timers sleep for what is left of their CPU time (it cannot pass sooner with one thread a
// core) and look again: never more than a few wake-ups for one expiry.
// A timer that repeats has one signal pending at most. It waits until that is taken, and then counts
// what passed meanwhile as overrun: so a short interval cannot flood anyone. Linux: posixtimer_rearm.
class ProcessTimers {
 public:
  explicit ProcessTimers(ThreadGroup& group);
  ~ProcessTimers();

  struct Setting {
    int64_t value_ns = 0;  // left until the next expiry; 0: disarmed
    int64_t interval_ns = 0;
  };

  // which: ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF. Returns the old setting.
  Setting SetInterval(int which, Setting setting) ABSL_LOCKS_EXCLUDED(mu_);
  Setting GetInterval(int which) const ABSL_LOCKS_EXCLUDED(mu_);

  // timer_create(2). event's signal and target (tid 0: the process) were checked.
  struct Event {
    bool notify = true;  // false: SIGEV_NONE
    int signo = SIGALRM;
    uint64_t value = 0;  // si_value
    pid_t tid = 0;       // SIGEV_THREAD_ID
  };
  // No event: SIGALRM with the timer's number.
  ErrnoOr<int> Create(clockid_t clock, TimerClock kind, std::optional<Event> event) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Delete(int id) ABSL_LOCKS_EXCLUDED(mu_);
  // absolute: value_ns is a time of the timer's clock.
  ErrnoOr<Setting> Set(int id, Setting setting, bool absolute) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Setting> Get(int id) const ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<int> Overrun(int id) const ABSL_LOCKS_EXCLUDED(mu_);

  // A signal was taken out of the queues: what its timer missed meanwhile is put into it.
  void OnTaken(siginfo_t& info) ABSL_LOCKS_EXCLUDED(mu_);
  // Pending signals were forgotten because they are ignored now.
  void OnDiscarded(signal::SignalSet signals) ABSL_LOCKS_EXCLUDED(mu_);

  // RLIMIT_CPU has become finite or another one.
  void WatchCpuLimit();

  // execve(2): POSIX timers go, interval timers stay.
  void DropPosixTimers() ABSL_LOCKS_EXCLUDED(mu_);
  // The process ends.
  void StopAll() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Timer;
  class CpuLimit;

  std::map<int, std::shared_ptr<Timer>> TakePosixTimers() ABSL_LOCKS_EXCLUDED(mu_);
  std::shared_ptr<Timer> Find(int id) const ABSL_LOCKS_EXCLUDED(mu_);

  ThreadGroup& group_;
  std::unique_ptr<Timer> intervals_[3];
  std::unique_ptr<CpuLimit> cpu_limit_;
  mutable absl::Mutex mu_;  // above Timer::mu_, which is above Poller::mu_
  std::map<int, std::shared_ptr<Timer>> timers_ ABSL_GUARDED_BY(mu_);
  int next_id_ ABSL_GUARDED_BY(mu_) = 0;
};

// The present time of a timer's clock, in nanoseconds.
int64_t TimerClockNow(const ThreadGroup& group, TimerClock clock);

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_PROCESS_TIMERS_H_
