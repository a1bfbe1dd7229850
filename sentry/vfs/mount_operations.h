#ifndef CLOISTER_SENTRY_VFS_MOUNT_OPERATIONS_H_
#define CLOISTER_SENTRY_VFS_MOUNT_OPERATIONS_H_

#include <sys/mount.h>

#include <cstdint>

#include "base/error/errno_or.h"
#include "sentry/vfs/caller.h"

// What mount(2), umount2(2) and pivot_root(2) ask of the VFS: the rules of Linux' fs/namespace.c around the
// caller's MountNamespace. The caller has CAP_SYS_ADMIN. One change at a time.

namespace cloister::vfs {

// The flags that a mount keeps, as Mount::flags().
inline constexpr uint64_t kNoSymFollow = 256;  // MS_NOSYMFOLLOW
inline constexpr uint64_t kAtimeFlags = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;
inline constexpr uint64_t kMountFlags =
    MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | kAtimeFlags | kNoSymFollow;

// A new mount over `at`. kNotDir unless both or neither are directories; kBusy where the same file system
// covers it already; kInval outside the namespace.
ErrnoOrVoid AddMount(const Caller& caller, Ref<Mount> mount, const Path& at);
// MS_BIND: `from` is seen at `to` too, with what is mounted below it if recursive (but for MS_UNBINDABLE).
ErrnoOrVoid BindMount(const Caller& caller, const Path& from, const Path& to, bool recursive);
// MS_MOVE.
ErrnoOrVoid MoveMount(const Caller& caller, const Path& from, const Path& to);
// MS_REMOUNT. at: the root of a mount, else kInval. Without any of kAtimeFlags those stay.
ErrnoOrVoid ChangeMountFlags(const Caller& caller, const Path& at, uint64_t flags);
// MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE. Nothing propagates here: the first two differ in nothing.
ErrnoOrVoid ChangePropagation(const Caller& caller, const Path& at, uint64_t type, bool recursive);
// umount2(2) of the topmost mount at `at`, which must be the only reference that the caller has to it.
ErrnoOrVoid Unmount(const Caller& caller, Path at, bool lazy);
// pivot_root(2). Root and working directories of tasks are the caller's to move.
ErrnoOrVoid PivotRoot(const Caller& caller, const Path& new_root, const Path& put_old);

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_MOUNT_OPERATIONS_H_
