#ifndef CLOISTER_SENTRY_FS_GOFER_HOST_FD_H_
#define CLOISTER_SENTRY_FS_GOFER_HOST_FD_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/host/unique_fd.h"
#include "base/own/ref.h"

namespace cloister::goferfs {

// A regular file of the host that the gofer has opened and given away. Shared by the inode, which
// keeps it for the next open, and by the open files that use it; its position is never used.
class HostFd : public RefCounted {
 public:
  HostFd(UniqueFd fd, bool writable) : fd_(std::move(fd)), writable_(writable) {}
  int get() const { return fd_.get(); }
  // No other one's, ever.
  uint64_t id() const { return id_; }
  bool writable() const { return writable_; }

 private:
  static inline std::atomic<uint64_t> last_id_{0};

  const UniqueFd fd_;
  const uint64_t id_ = last_id_.fetch_add(1, std::memory_order_relaxed) + 1;
  const bool writable_;
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_HOST_FD_H_
