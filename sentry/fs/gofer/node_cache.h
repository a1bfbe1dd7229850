#ifndef CLOISTER_SENTRY_FS_GOFER_NODE_CACHE_H_
#define CLOISTER_SENTRY_FS_GOFER_NODE_CACHE_H_

#include <cstddef>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cloister::goferfs {

class GoferClient;
class Remote;

// Which files hold nodes of the gofer and host descriptors, the least recently used first: both
// are bounded. Directories are not in it: their number follows the VFS' cache. Thread-safe.
class NodeCache {
 public:
  NodeCache(GoferClient& client, size_t capacity) : client_(client), capacity_(capacity) {}

  // remote holds a node or a descriptor and was used just now; others may be evicted. Call it
  // without the Remote's lock.
  void Used(Remote& remote) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(Remote& remote) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void UnlinkLocked(Remote& remote) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AppendLocked(Remote& remote) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<uint64_t> EvictLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  GoferClient& client_;
  const size_t capacity_;
  absl::Mutex mu_;  // before Remote::mu_
  Remote* oldest_ ABSL_GUARDED_BY(mu_) = nullptr;
  Remote* newest_ ABSL_GUARDED_BY(mu_) = nullptr;
  size_t size_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_NODE_CACHE_H_
