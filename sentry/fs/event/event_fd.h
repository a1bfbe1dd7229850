#ifndef CLOISTER_SENTRY_FS_EVENT_EVENT_FD_H_
#define CLOISTER_SENTRY_FS_EVENT_EVENT_FD_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sentry/fs/event/anon_file.h"

namespace cloister::event {

// eventfd(2): a counter that reads spend and writes raise.
class EventFd final : public AnonFile {
 public:
  enum class Mode { kCounter, kSemaphore };
  EventFd(int flags, auth::CredRef cred, uint64_t count, Mode mode);

  ErrnoOr<size_t> Read(UserBuffer& dst) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<size_t> Write(UserBuffer& src) override ABSL_LOCKS_EXCLUDED(mu_);
  Poll Ready() const override ABSL_LOCKS_EXCLUDED(mu_);
  wait::WaitQueue* wait_queue() override { return &queue_; }
  std::string FdInfo() const override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  uint64_t TakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Mode mode_;
  wait::WaitQueue queue_;
  mutable absl::Mutex mu_;  // leaf
  uint64_t count_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::event

#endif  // CLOISTER_SENTRY_FS_EVENT_EVENT_FD_H_
