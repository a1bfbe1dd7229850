#ifndef CLOISTER_SENTRY_FS_EVENT_EPOLL_ITEM_H_
#define CLOISTER_SENTRY_FS_EVENT_EPOLL_ITEM_H_

#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "sentry/vfs/file_description.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::event {

class EpollCore;
class FileWatchers;

// What an epoll instance watches: a descriptor number and the file it meant when it was added. Linux: struct
// epitem. Does not keep the file; goes with it or with the epoll instance. Fields marked "core" are guarded
// by the core's mu_, "watchers" by the file's FileWatchers.
class EpollItem final : public RefCounted, public wait::Waiter {
 public:
  EpollItem(Ref<EpollCore> core, int fd, vfs::FileDescription& file, Ref<FileWatchers> watchers);
  ~EpollItem() override;

  // The file's queue told something.
  void OnEvent(wait::Poll events) override;

  const Ref<EpollCore> core;
  const Ref<FileWatchers> watchers;
  const int fd;
  // Valid while the item is in the core's table; for a reference: TryIncRef.
  vfs::FileDescription* const file;

  uint32_t events = 0;            // core: wanted, EPOLLERR and EPOLLHUP included; 0 after EPOLLONESHOT fired
  uint32_t flags = 0;             // core: EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE
  uint64_t data = 0;              // core: the guest's
  bool dead = false;              // core: out of the table
  bool queued = false;            // core: on the ready list
  bool scanned = false;           // core: taken off it by a scan that is under way
  bool again = false;             // core: an event came during that scan
  EpollItem* previous = nullptr;  // core: neighbours on the ready list
  EpollItem* next = nullptr;

  wait::WaitEntry entry;  // watchers
  bool attached = false;  // watchers
};

// The epoll items of one open file, and their end when the file goes.
class FileWatchers final : public vfs::ReleaseHook {
 public:
  // The file's, made on first use.
  static Ref<FileWatchers> Of(vfs::FileDescription& file);

  void Attach(EpollItem& item) ABSL_LOCKS_EXCLUDED(mu_);
  // Safe when not attached any more, also while the file goes.
  void Detach(EpollItem& item) ABSL_LOCKS_EXCLUDED(mu_);
  void OnRelease() override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Mutex mu_;  // above the lock of the file's queue
  std::vector<Ref<EpollItem>> items_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::event

#endif  // CLOISTER_SENTRY_FS_EVENT_EPOLL_ITEM_H_
