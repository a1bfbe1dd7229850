#ifndef CLOISTER_GOFER_TREE_HOST_CALLS_H_
#define CLOISTER_GOFER_TREE_HOST_CALLS_H_

#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "base/error/errno_or.h"
#include "base/host/unique_fd.h"

// The host calls of the tree, with their results as ErrnoOr.

namespace cloister::gofer {

inline Errno HostErrno() { return FromHostErrno(errno); }

// openat2(2) of one component (or ".") beneath dir; a symbolic link is never followed.
ErrnoOr<UniqueFd> OpenBeneath(int dir, const char* name, int flags, mode_t mode = 0);

// Opens the file behind fd anew, with other flags.
ErrnoOr<UniqueFd> Reopen(int fd, int flags);

// Of fd itself, or with a name of what fd (a directory) has under it, which is not followed.
ErrnoOr<struct statx> StatAt(int fd, const char* name = "");

ErrnoOr<std::string> ReadlinkAt(int fd, const char* name = "");

inline uint64_t DeviceOf(const struct statx& attr) {
  return uint64_t{attr.stx_dev_major} << 32 | attr.stx_dev_minor;
}

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_TREE_HOST_CALLS_H_
