#ifndef CLOISTER_SENTRY_VFS_FILE_LOCKS_H_
#define CLOISTER_SENTRY_VFS_FILE_LOCKS_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::vfs {

class FileLocks;

// A blocking fcntl(2) lock that has not been granted: an edge of the graph in which deadlocks are
// found. Part of the parked call; leaves the graph when it is destroyed. Movable.
class LockWait {
 public:
  LockWait() = default;
  LockWait(LockWait&& other) noexcept;
  LockWait& operator=(LockWait&& other) noexcept;
  ~LockWait();

 private:
  friend class FileLocks;
  uint64_t id_ = 0;  // 0: in no graph
};

// The advisory locks of one inode: flock(2) and fcntl(2) (POSIX and open-file-description locks).
// Thread-safe. Never sleeps: a conflict is kAgain; wait on queue() and ask again.
class FileLocks {
 public:
  enum class Type { kShared, kExclusive };

  struct Range {
    uint64_t first = 0;
    uint64_t end = ~uint64_t{0};  // exclusive
  };
  // Who holds a lock: compared by address; pid is only shown (F_GETLK, /proc/locks).
  struct Owner {
    const void* id = nullptr;
    pid_t pid = 0;
    friend bool operator==(const Owner& a, const Owner& b) { return a.id == b.id; }
  };

  ErrnoOrVoid Flock(const void* description, Type type) ABSL_LOCKS_EXCLUDED(mu_);
  void Funlock(const void* description) ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOrVoid Lock(const Owner& owner, Type type, Range range) ABSL_LOCKS_EXCLUDED(mu_);
  // F_SETLKW: as Lock, but a conflict is noted in wait until it is granted, refused or given up;
  // kDeadLk where waiting would close a ring of owners.
  ErrnoOrVoid LockOrWait(const Owner& owner, Type type, Range range, LockWait& wait) ABSL_LOCKS_EXCLUDED(mu_);
  void Unlock(const Owner& owner, Range range) ABSL_LOCKS_EXCLUDED(mu_);
  struct Conflict {
    Owner owner;
    Type type;
    Range range;
  };
  // The first lock that would refuse this one.
  std::optional<Conflict> Test(const Owner& owner, Type type, Range range) const ABSL_LOCKS_EXCLUDED(mu_);
  // A table or description is gone: all its locks.
  void ReleaseAll(const void* id) ABSL_LOCKS_EXCLUDED(mu_);

  // All that are held, for /proc/locks.
  std::vector<Conflict> Held(bool flocks) const ABSL_LOCKS_EXCLUDED(mu_);

  // Notified with kIn whenever a lock goes away.
  wait::WaitQueue& queue() { return queue_; }

 private:
  const Conflict* FindConflictLocked(const Owner& owner, Type type, Range range) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // Takes range out of the owner's locks; true if it held any of it.
  bool CarveLocked(const Owner& owner, Range range) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Puts a lock in place of what the owner held there; joins it with neighbours of the same type.
  // True if another owner may get something now (a lock became weaker).
  bool PutLocked(const Owner& owner, Type type, Range range) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;                            // leaf
  std::vector<Conflict> posix_ ABSL_GUARDED_BY(mu_);  // by first byte
  std::vector<Conflict> flocks_ ABSL_GUARDED_BY(mu_);
  wait::WaitQueue queue_;
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_FILE_LOCKS_H_
