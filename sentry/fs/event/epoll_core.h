#ifndef CLOISTER_SENTRY_FS_EVENT_EPOLL_CORE_H_
#define CLOISTER_SENTRY_FS_EVENT_EPOLL_CORE_H_

#include <sys/epoll.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/fs/event/epoll_item.h"

namespace cloister::event {

// The table and the ready list of one epoll instance. Linux: struct eventpoll. Kept by the open file
// and by its items; emptied when the file goes. Only items that were told of an event are looked at.
//
// Lock order:
//   NestMutex()                  (only while one epoll is added to another)
//     EpollCore::scan_mu_        (of the outer instance before the inner one's)
//       FileWatchers::mu_
//         a file's wait queue
//           EpollCore::mu_
// A file's last reference may be dropped under an outer scan_mu_: what follows takes none.
class EpollCore final : public RefCounted {
 public:
  // epoll_ctl(2). event as given by the guest; fd's file is kept by the caller.
  ErrnoOrVoid Add(int fd, vfs::FileDescription& file, const epoll_event& event) ABSL_LOCKS_EXCLUDED(scan_mu_);
  ErrnoOrVoid Modify(int fd, vfs::FileDescription& file, const epoll_event& event)
      ABSL_LOCKS_EXCLUDED(scan_mu_);
  ErrnoOrVoid Remove(int fd, vfs::FileDescription& file) ABSL_LOCKS_EXCLUDED(scan_mu_);

  // Up to max ready events, oldest first, given to deliver at once. If it fails, they stay ready and
  // its error is the answer. deliver is not called where there are none; then the answer is 0.
  using Deliver = absl::FunctionRef<ErrnoOrVoid(std::span<const epoll_event>)>;
  ErrnoOr<size_t> Collect(size_t max, Deliver deliver) ABSL_LOCKS_EXCLUDED(scan_mu_);
  // Whether Collect would find something.
  bool AnyReady() ABSL_LOCKS_EXCLUDED(scan_mu_);

  // The file goes: forgets every item.
  void Clear() ABSL_LOCKS_EXCLUDED(mu_);

  // From an item: its file told events; its file has gone.
  void Note(EpollItem& item, uint32_t events) ABSL_LOCKS_EXCLUDED(mu_);
  void Forget(EpollItem& item) ABSL_LOCKS_EXCLUDED(mu_);

  wait::WaitQueue& queue() { return queue_; }

 private:
  using Key = std::pair<int, const vfs::FileDescription*>;
  // One item of a scan and what it reported.
  struct Found {
    Ref<EpollItem> item;
    Ref<vfs::FileDescription> file;  // dropped when no lock is held
    uint32_t events = 0;             // 0: not ready
  };

  static absl::Mutex& NestMutex();
  ErrnoOrVoid CheckNesting(EpollCore& inner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(NestMutex());
  // Levels of epoll instances from this one down; kTooDeep if there are too many or `ring` is among them.
  int DepthBelow(const EpollCore& ring, absl::flat_hash_map<const EpollCore*, int>* seen, int limit);
  void RaiseLevel(int level) ABSL_EXCLUSIVE_LOCKS_REQUIRED(NestMutex());
  std::vector<Ref<EpollCore>> InnerCores() ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOrVoid AddItem(int fd, vfs::FileDescription& file, const epoll_event& event)
      ABSL_LOCKS_EXCLUDED(scan_mu_);
  Ref<EpollItem> FindLocked(int fd, const vfs::FileDescription& file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void SetEventLocked(EpollItem& item, const epoll_event& event);
  void NoteIfReady(EpollItem& item, const vfs::FileDescription& file) ABSL_LOCKS_EXCLUDED(mu_);
  void PushLocked(EpollItem& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UnlinkLocked(EpollItem& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool DropLocked(EpollItem& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool TakeFirst(Found* found) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<Found> Scan(size_t max) ABSL_EXCLUSIVE_LOCKS_REQUIRED(scan_mu_) ABSL_LOCKS_EXCLUDED(mu_);
  void FinishScan(std::span<const Found> scanned, bool delivered) ABSL_EXCLUSIVE_LOCKS_REQUIRED(scan_mu_)
      ABSL_LOCKS_EXCLUDED(mu_);

  wait::WaitQueue queue_;
  absl::Mutex scan_mu_;  // one scan or change at a time
  absl::Mutex mu_;
  absl::flat_hash_map<Key, Ref<EpollItem>> items_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<EpollItem*> inner_ ABSL_GUARDED_BY(mu_);  // items that are epoll instances
  EpollItem* first_ ABSL_GUARDED_BY(mu_) = nullptr;             // the ready list
  EpollItem* last_ ABSL_GUARDED_BY(mu_) = nullptr;
  int level_ = 0;  // NOLINT: guarded by NestMutex(). Instances above this one, at most; never falls
};

}  // namespace cloister::event

#endif  // CLOISTER_SENTRY_FS_EVENT_EPOLL_CORE_H_
