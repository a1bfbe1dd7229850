#ifndef CLOISTER_SENTRY_FS_GOFER_HOST_FD_H_
#define CLOISTER_SENTRY_FS_GOFER_HOST_FD_H_

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
  bool writable() const { return writable_; }

 private:
  const UniqueFd fd_;
  const bool writable_;
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_HOST_FD_H_
