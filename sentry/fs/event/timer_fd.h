#ifndef CLOISTER_SENTRY_FS_EVENT_TIMER_FD_H_
#define CLOISTER_SENTRY_FS_EVENT_TIMER_FD_H_

#include <time.h>

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sentry/fs/event/anon_file.h"
#include "sentry/wait/poller.h"

namespace cloister::event {

// timerfd_create(2): a file that becomes readable when a timer expires. As in Linux an interval
// timer that has expired goes on only when it is read or asked for.
class TimerFd final : public AnonFile, private wait::TimerClient {
 public:
  // clock: CLOCK_REALTIME, CLOCK_MONOTONIC or CLOCK_BOOTTIME; deadlines on it are absolute.
  TimerFd(int flags, auth::CredRef cred, clockid_t clock);
  ~TimerFd() override;

  // The first expiry and the interval in nanoseconds; a value of 0 disarms. Times too large for an
  // int64_t of nanoseconds are the caller's to clip.
  struct Setting {
    int64_t value_ns = 0;
    int64_t interval_ns = 0;
  };
  // Returns the setting before, with the time that was left. absolute: TFD_TIMER_ABSTIME.
  Setting Set(const Setting& setting, bool absolute) ABSL_LOCKS_EXCLUDED(mu_);
  Setting Get() ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<size_t> Read(UserBuffer& dst) override ABSL_LOCKS_EXCLUDED(mu_);
  Poll Ready() const override ABSL_LOCKS_EXCLUDED(mu_);
  wait::WaitQueue* wait_queue() override { return &queue_; }
  TimerFd* AsTimer() override { return this; }

 private:
  int64_t Now() const;
  void ArmLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CountLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Setting GetLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnTimer() override ABSL_LOCKS_EXCLUDED(mu_);

  const clockid_t clock_;
  wait::WaitQueue queue_;
  mutable absl::Mutex mu_;                     // above the poller's lock
  int64_t next_ ABSL_GUARDED_BY(mu_) = 0;      // on clock_; 0: disarmed
  int64_t interval_ ABSL_GUARDED_BY(mu_) = 0;  // 0: once
  uint64_t expired_ ABSL_GUARDED_BY(mu_) = 0;  // expirations that nobody read
};

}  // namespace cloister::event

#endif  // CLOISTER_SENTRY_FS_EVENT_TIMER_FD_H_
