#ifndef CLOISTER_GOFER_TREE_FD_PATH_H_
#define CLOISTER_GOFER_TREE_FD_PATH_H_

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"

namespace cloister::gofer {

// A path that leads to the very file behind one of this process' descriptors: the magic link
// /proc/self/fd/N, proc_pid_fd(5). It is how an O_PATH descriptor is opened, truncated, or given
// an xattr: no name is looked up again, so nobody can put another file in its place meanwhile.
// Use it without AT_SYMLINK_NOFOLLOW; where N is a symbolic link, it leads to the link itself.
class FdPath {
 public:
  explicit FdPath(int fd);
  const char* c_str() const { return text_; }

 private:
  char text_[32];
};

// The directory of these links. It is a clone of that part of proc's mount, so that ".." does not
// lead out of it into the host's /proc; without the right to clone it is the host's own, if best_effort.
absl::StatusOr<UniqueFd> OpenFdDirectory(bool best_effort);

// Makes directory (of OpenFdDirectory) the working directory and FdPath relative to it, so that it
// works with an empty root. Once, before other threads exist.
absl::Status EnterFdDirectory(UniqueFd directory);

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_TREE_FD_PATH_H_
