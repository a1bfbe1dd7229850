#ifndef CLOISTER_SENTRY_FS_EVENT_INOTIFY_FILE_H_
#define CLOISTER_SENTRY_FS_EVENT_INOTIFY_FILE_H_

#include <sys/inotify.h>

#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "sentry/fs/event/anon_file.h"
#include "sentry/vfs/file_events.h"

namespace cloister::event {

class InotifyWatch;

// The watches and the queue of an inotify instance. Linux: struct fsnotify_group. Kept by the open file and
// by its watches, which go with the file.
class InotifyCore final : public RefCounted {
 public:
  InotifyCore();
  ~InotifyCore() override;

  // inotify_add_watch(2): the watch descriptor. mask as given, already checked. kExist for IN_MASK_CREATE,
  // kNoSpc where there are too many.
  ErrnoOr<int> Watch(Ref<vfs::Inode> inode, uint32_t mask) ABSL_LOCKS_EXCLUDED(mu_);
  // inotify_rm_watch(2). kInval where there is none.
  ErrnoOrVoid Unwatch(int wd) ABSL_LOCKS_EXCLUDED(mu_);
  void Clear() ABSL_LOCKS_EXCLUDED(mu_);

  // From a watch.
  void Note(const InotifyWatch& watch, const vfs::FileEvent& event) ABSL_LOCKS_EXCLUDED(mu_);

  // Whole events, as many as fit: kAgain for none, kInval where the first does not fit.
  ErrnoOr<size_t> Read(UserBuffer& dst) ABSL_LOCKS_EXCLUDED(mu_);
  size_t queued_bytes() const ABSL_LOCKS_EXCLUDED(mu_);
  wait::WaitQueue& queue() { return queue_; }

 private:
  struct Event {
    int wd;
    uint32_t mask, cookie;
    std::string name;  // with its padding
    friend bool operator==(const Event&, const Event&) = default;
  };
  static size_t SizeOf(const Event& event) { return sizeof(inotify_event) + event.name.size(); }
  void PushLocked(int wd, uint32_t mask, uint32_t cookie, std::string_view name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Out of the tables, with IN_IGNORED told. The caller takes it from FileEvents without the lock.
  Ref<InotifyWatch> DropLocked(int wd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  wait::WaitQueue queue_;
  mutable absl::Mutex mu_;  // leaf
  std::map<int, Ref<InotifyWatch>> watches_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<const vfs::Inode*, int> by_inode_ ABSL_GUARDED_BY(mu_);
  int last_wd_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Event> events_ ABSL_GUARDED_BY(mu_);
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

// The open file of an inotify instance: inotify(7).
class InotifyFile final : public AnonFile {
 public:
  InotifyFile(int flags, auth::CredRef cred)
      : AnonFile(flags, std::move(cred), "inotify"), core_(MakeRef<InotifyCore>()) {}
  ~InotifyFile() override { core_->Clear(); }

  InotifyCore& core() const { return *core_; }
  ErrnoOr<size_t> Read(UserBuffer& dst) override { return core_->Read(dst); }
  Poll Ready() const override { return core_->queued_bytes() > 0 ? Poll::kIn : Poll::kNone; }
  wait::WaitQueue* wait_queue() override { return &core_->queue(); }
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;  // FIONREAD
  InotifyFile* AsInotify() override { return this; }

 private:
  const Ref<InotifyCore> core_;
};

}  // namespace cloister::event

#endif  // CLOISTER_SENTRY_FS_EVENT_INOTIFY_FILE_H_
