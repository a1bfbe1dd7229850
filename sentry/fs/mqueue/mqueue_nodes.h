#ifndef CLOISTER_SENTRY_FS_MQUEUE_MQUEUE_NODES_H_
#define CLOISTER_SENTRY_FS_MQUEUE_MQUEUE_NODES_H_

#include <atomic>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sentry/fs/kernfs/directory.h"
#include "sentry/fs/mqueue/mqueue_fs.h"
#include "sentry/vfs/file_description.h"

namespace cloister::mqueue {

// A queue as a file: what it weighs is given back with it.
class QueueInode final : public vfs::Inode {
 public:
  QueueInode(const Ref<MqueueFs>& fs, const vfs::NewNode& node, const mq_attr& attr, uid_t payer,
             uint64_t charge);
  ~QueueInode() override;

  MessageQueue& queue() { return queue_; }
  uint64_t number() const { return attr_.inode(); }
  void SetUnlinked() { unlinked_.store(true, std::memory_order_relaxed); }
  void Touch() { attr_.SetMtimeNow(); }

  ErrnoOr<struct statx> GetAttr() override;
  ErrnoOr<vfs::Ownership> GetOwnership() override { return attr_.GetOwnership(); }
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override { return attr_.Set(change); }
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override;

 private:
  MqueueFs& owner_;
  const uid_t payer_;
  const uint64_t charge_;
  kernfs::NodeAttr attr_;
  std::atomic<bool> unlinked_{false};
  MessageQueue queue_;
};

// The one directory of the file system.
class QueueDirectory final : public kernfs::Directory {
 public:
  explicit QueueDirectory(const Ref<MqueueFs>& fs);

  // attr: null for the default sizes.
  ErrnoOr<Ref<vfs::Inode>> CreateQueue(std::string_view name, const vfs::NewNode& node, const mq_attr* attr)
      ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<struct statx> GetAttr() override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Ref<vfs::Inode>> Lookup(std::string_view name) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Ref<vfs::Inode>> Create(std::string_view name, const vfs::NewNode& node) override;
  ErrnoOrVoid Unlink(std::string_view name, vfs::Inode& target) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const Ref<MqueueFs> fs_;
  mutable absl::Mutex mu_;                                                                  // leaf
  std::map<int64_t, std::pair<std::string, Ref<QueueInode>>> queues_ ABSL_GUARDED_BY(mu_);  // by cookie
  vfs::NameMap<int64_t> cookies_ ABSL_GUARDED_BY(mu_);
  int64_t next_cookie_ ABSL_GUARDED_BY(mu_) = kFirstCookie;
};

}  // namespace cloister::mqueue

#endif  // CLOISTER_SENTRY_FS_MQUEUE_MQUEUE_NODES_H_
