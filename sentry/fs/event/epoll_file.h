#ifndef CLOISTER_SENTRY_FS_EVENT_EPOLL_FILE_H_
#define CLOISTER_SENTRY_FS_EVENT_EPOLL_FILE_H_

#include "sentry/fs/event/anon_file.h"
#include "sentry/fs/event/epoll_core.h"

namespace cloister::event {

// The open file of an epoll instance: epoll(7). What it watches is in its core.
class EpollFile final : public AnonFile {
 public:
  explicit EpollFile(auth::CredRef cred);
  ~EpollFile() override;

  EpollCore& core() const { return *core_; }

  Poll Ready() const override { return core_->AnyReady() ? Poll::kIn : Poll::kNone; }
  wait::WaitQueue* wait_queue() override { return &core_->queue(); }
  EpollFile* AsEpoll() override { return this; }

 private:
  const Ref<EpollCore> core_;
};

}  // namespace cloister::event

#endif  // CLOISTER_SENTRY_FS_EVENT_EPOLL_FILE_H_
