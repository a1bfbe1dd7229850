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

  // Notified with kIn whenever a lock goes away.
  wait::WaitQueue& queue() { return queue_; }

 private:
  struct Held {
    Owner owner;
    Type type;
    Range range;
  };
  mutable absl::Mutex mu_;  // leaf
  std::vector<Held> posix_ ABSL_GUARDED_BY(mu_);
  std::vector<Held> flocks_ ABSL_GUARDED_BY(mu_);
  wait::WaitQueue queue_;
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_FILE_LOCKS_H_
