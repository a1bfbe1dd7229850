#include "base/host/unique_fd.h"

#include <unistd.h>

namespace cloister {

void UniqueFd::reset(int fd) {
  // After EINTR Linux has closed the descriptor all the same: never again.
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

}  // namespace cloister
