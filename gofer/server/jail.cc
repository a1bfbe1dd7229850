#include "gofer/server/jail.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error/status.h"
#include "base/log/log.h"
#include "gofer/tree/fd_path.h"

namespace cloister::gofer {
namespace {

constexpr int kFirstClosable = 3;

// An empty file system that is mounted nowhere yet.
absl::StatusOr<UniqueFd> MakeEmptyMount() {
  const UniqueFd context(fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!context.ok()) return HostErrorNow("fsopen of tmpfs");
  if (fsconfig(context.get(), FSCONFIG_SET_STRING, "size", "4096", 0) < 0 ||
      fsconfig(context.get(), FSCONFIG_SET_STRING, "nr_inodes", "2", 0) < 0 ||
      fsconfig(context.get(), FSCONFIG_SET_STRING, "mode", "0555", 0) < 0 ||
      fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) {
    return HostErrorNow("fsconfig of tmpfs");
  }
  UniqueFd mount(fsmount(context.get(), FSMOUNT_CLOEXEC,
                         MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  if (!mount.ok()) return HostErrorNow("fsmount of tmpfs");
  return mount;
}

// Makes an empty mount the root and lets go of the old one.
absl::Status PivotToEmptyRoot() {
  const UniqueFd mount = TRY_STATUS(MakeEmptyMount());
  if (move_mount(mount.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
    return HostErrorNow("move_mount");
  if (fchdir(mount.get()) < 0) return HostErrorNow("fchdir to the empty root");
  if (syscall(SYS_pivot_root, ".", ".") == 0) {
    if (umount2(".", MNT_DETACH) < 0) return HostErrorNow("umount of the old root");
  } else if (errno != EINVAL) {
    return HostErrorNow("pivot_root");
  }
  // EINVAL: the old root is the initial ramfs, which pivot_root(2) cannot move. CAP_SYS_CHROOT is
  // dropped next, so chroot is final too.
  if (chroot(".") < 0) return HostErrorNow("chroot");
  return absl::OkStatus();
}

}  // namespace

absl::Status CloseAllBut(std::vector<int> keep) {
  std::sort(keep.begin(), keep.end());
  int first = kFirstClosable;
  for (const int fd : keep) {
    if (fd < first) continue;
    if (fd > first && close_range(first, fd - 1, 0) < 0) return HostErrorNow("close_range");
    first = fd + 1;
  }
  if (close_range(first, ~0u, 0) < 0) return HostErrorNow("close_range");
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> ConfineAttachPoint(UniqueFd attach, bool readonly, bool best_effort) {
  UniqueFd clone(
      open_tree(attach.get(), "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!clone.ok()) {
    const bool foreign = errno == EINVAL;
    const absl::Status error = HostErrorNow("cannot clone the mounts of an attach point");
    if (!foreign && !best_effort) return error;
    LOG(kWarning, "%s", error.message());
    return attach;
  }
  mount_attr attr = {};
  attr.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (readonly ? MOUNT_ATTR_RDONLY : 0);
  if (mount_setattr(clone.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0) {
    return HostErrorNow("mount_setattr of an attach point");
  }
  return clone;
}

absl::Status EnterJail(bool best_effort) {
  UniqueFd fd_directory = TRY_STATUS(OpenFdDirectory(best_effort));
  if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET) < 0) {
    const absl::Status error = HostErrorNow("unshare of the gofer's namespaces");
    if (!best_effort) return error;
    LOG(kWarning, "%s", error.message());
    return EnterFdDirectory(std::move(fd_directory));
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return HostErrorNow("private mounts");
  RETURN_IF_ERROR(PivotToEmptyRoot());
  return EnterFdDirectory(std::move(fd_directory));
}

}  // namespace cloister::gofer
