#include "runsc/sandbox/container_view.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/error/status.h"

namespace cloister::sandbox {
namespace {

absl::Status Attach(const ViewMount& mount, const char* at) {
  if (syscall(SYS_move_mount, mount.tree.get(), "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return HostErrorNow("move_mount");
  }
  return absl::OkStatus();
}

absl::Status PivotTo(const ViewMount& root) {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return HostErrorNow("mount --make-rprivate /");
  // Any directory that every host has will do; the mount is this process' alone.
  RETURN_IF_ERROR(Attach(root, "/proc"));
  // An engine's mount may be shared, which a root must not be.
  if (mount(nullptr, "/proc", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return HostErrorNow("make the container's root private");
  if (chdir("/proc") != 0) return HostErrorNow("chdir to the container's root");
  if (syscall(SYS_pivot_root, ".", ".") != 0) return HostErrorNow("pivot_root");
  if (umount2(".", MNT_DETACH) != 0) return HostErrorNow("detach the host's root");
  if (chdir("/") != 0) return HostErrorNow("chdir /");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ViewMount> MakeViewMount(int place, std::string destination, bool readonly) {
  ViewMount made{.destination = std::move(destination), .readonly = readonly};
  made.tree.reset(static_cast<int>(
      syscall(SYS_open_tree, place, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!made.tree.ok()) return HostErrorNow("open_tree");
  return made;
}

absl::Status EnterContainerView(std::span<const ViewMount> mounts) {
  if (mounts.empty() || unshare(CLONE_NEWNS) != 0) return absl::OkStatus();
  RETURN_IF_ERROR(PivotTo(mounts.front()));
  for (const ViewMount& one : mounts.subspan(1)) {
    const absl::Status attached = Attach(one, one.destination.c_str());
    if (!attached.ok() || !one.readonly) continue;
    if (mount(nullptr, one.destination.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0) {
      return HostErrorNow("remount read-only");
    }
  }
  if (!mounts.front().readonly) return absl::OkStatus();
  if (mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0) {
    return HostErrorNow("remount the container's root read-only");
  }
  return absl::OkStatus();
}

}  // namespace cloister::sandbox
