#ifndef CLOISTER_SENTRY_VFS_ANON_ANON_INODE_H_
#define CLOISTER_SENTRY_VFS_ANON_ANON_INODE_H_

#include <sys/types.h>
#include <time.h>

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/vfs/inode.h"

namespace cloister::vfs {

// The file systems that no path leads to. Linux: anon_inodefs, pipefs, sockfs. One of each a sentry.
enum class AnonKind { kAnonInode, kPipe, kSocket };
Ref<FileSystem> AnonFileSystem(AnonKind kind);

// A number for a new inode of these file systems; never given twice.
uint64_t NextAnonInodeNumber();

// What fstat(2) shows of a pipe, a socket or an eventfd and its kin. It is opened by making it, not
// by name: Open answers kNxIo. Thread-safe.
class AnonInode : public Inode {
 public:
  // mode: type and permission bits. The owner is cred's fsuid and fsgid.
  AnonInode(AnonKind kind, mode_t mode, uint64_t number, const auth::Credentials& cred);

  uint64_t number() const { return number_; }

  ErrnoOr<struct statx> GetAttr() override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Ownership> GetOwnership() override ABSL_LOCKS_EXCLUDED(mu_);
  // Mode, owner and times change in memory; a size does not.
  ErrnoOrVoid SetAttr(const AttrChange& change) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Ref<FileDescription>> Open(const OpenRequest& request) override;

 private:
  const uint64_t number_;
  absl::Mutex mu_;  // leaf
  Ownership owner_ ABSL_GUARDED_BY(mu_);
  timespec atime_ ABSL_GUARDED_BY(mu_);
  timespec mtime_ ABSL_GUARDED_BY(mu_);
  timespec ctime_ ABSL_GUARDED_BY(mu_);
};

// The one inode that every eventfd, timerfd, signalfd and epoll shares, as in Linux: type 0, mode 0600.
Ref<Inode> SharedAnonInode();

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_ANON_ANON_INODE_H_
