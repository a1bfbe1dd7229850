#ifndef CLOISTER_SENTRY_IPC_MQUEUE_LIMITS_H_
#define CLOISTER_SENTRY_IPC_MQUEUE_LIMITS_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"

namespace cloister::ipc {

// /proc/sys/fs/mqueue of one IPC namespace. The queues themselves are sentry/fs/mqueue's. Thread-safe.
class MqueueLimits : public RefCounted {
 public:
  struct Limits {
    int queues = 256;
    int messages = 10;
    int message_bytes = 8192;
    int default_messages = 10;
    int default_message_bytes = 8192;
  };
  Limits limits() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return limits_;
  }
  void SetLimits(const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    limits_ = limits;
  }

 private:
  mutable absl::Mutex mu_;  // leaf
  Limits limits_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::ipc

#endif  // CLOISTER_SENTRY_IPC_MQUEUE_LIMITS_H_
