#include "gofer/tree/fd_path.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/error/status.h"
#include "base/host/unique_fd.h"

namespace cloister::gofer {
namespace {

constexpr char kFdDirectory[] = "/proc/self/fd";

bool inside_fd_directory = false;  // set once, before threads

}  // namespace

FdPath::FdPath(int fd) { snprintf(text_, sizeof text_, inside_fd_directory ? "%d" : "/proc/self/fd/%d", fd); }

absl::StatusOr<UniqueFd> OpenFdDirectory(bool best_effort) {
  UniqueFd directory(open_tree(AT_FDCWD, kFdDirectory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (directory.ok()) return directory;
  const absl::Status error = HostErrorNow("cannot clone the mount of /proc/self/fd");
  if (!best_effort) return error;
  directory.reset(open(kFdDirectory, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.ok()) return HostErrorNow(kFdDirectory);
  return directory;
}

absl::Status EnterFdDirectory(UniqueFd directory) {
  // Closing the descriptor dissolves a cloned tree; the working directory keeps its mount alive.
  if (fchdir(directory.get()) < 0) return HostErrorNow("fchdir to /proc/self/fd");
  inside_fd_directory = true;
  return absl::OkStatus();
}

}  // namespace cloister::gofer
