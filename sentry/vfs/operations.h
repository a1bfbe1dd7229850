#ifndef CLOISTER_SENTRY_VFS_OPERATIONS_H_
#define CLOISTER_SENTRY_VFS_OPERATIONS_H_

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error/errno_or.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/file_description.h"
#include "sentry/vfs/path.h"

// What the file-system syscalls ask of the VFS: names in, objects out. Permission checks, symlinks,
// mounts, read-only and sticky rules are applied here and nowhere else. All are thread-safe.

namespace cloister::vfs {

// Where a relative path begins: caller.cwd, or a directory descriptor's path. path(7) resolution(7).
struct WalkOptions {
  bool follow_last = true;      // a symlink at the end is followed
  bool want_directory = false;  // else kNotDir
  bool allow_empty = false;     // AT_EMPTY_PATH: "" is `start` itself
  uint64_t resolve = 0;         // openat2(2): RESOLVE_…
};

// The existing file that `path` names. Absolute paths begin at caller.root.
ErrnoOr<Path> Resolve(const Caller& caller, const Path& start, std::string_view path,
                      const WalkOptions& options);

// The directory and the last component's name, for calls that make or remove a name. A trailing
// slash is reported; the name may be "." or ".." (callers refuse it with their own errno).
struct Parent {
  Path directory;
  std::string name;
  bool trailing_slash = false;
};
ErrnoOr<Parent> ResolveParent(const Caller& caller, const Path& start, std::string_view path,
                              uint64_t resolve = 0);

// open(2). flags as given by the guest; mode before umask.
ErrnoOr<Ref<FileDescription>> Open(const Caller& caller, const Path& start, std::string_view path, int flags,
                                   mode_t mode, uint64_t resolve = 0);
// Opens what is already found: /proc/PID/fd/N, exec. Checks permission.
ErrnoOr<Ref<FileDescription>> OpenPath(const Caller& caller, const Path& path, int flags);

ErrnoOr<Path> MakeNode(const Caller& caller, const Path& start, std::string_view path, mode_t mode,
                       dev_t rdev);
ErrnoOrVoid MakeDirectory(const Caller& caller, const Path& start, std::string_view path, mode_t mode);
ErrnoOrVoid MakeSymlink(const Caller& caller, std::string_view target, const Path& start,
                        std::string_view path);
// linkat(2) of an existing file (already resolved).
ErrnoOrVoid MakeLink(const Caller& caller, const Path& target, const Path& start, std::string_view path);
ErrnoOrVoid Unlink(const Caller& caller, const Path& start, std::string_view path);
ErrnoOrVoid RemoveDirectory(const Caller& caller, const Path& start, std::string_view path);
ErrnoOrVoid Rename(const Caller& caller, const Path& old_start, std::string_view old_path,
                   const Path& new_start, std::string_view new_path, uint32_t flags);
ErrnoOr<std::string> Readlink(const Caller& caller, const Path& link);

ErrnoOr<struct statx> Stat(const Path& path);
// mask: R_OK, W_OK, X_OK, F_OK, by effective ids (the caller has put the real ones in for access(2)).
ErrnoOrVoid Access(const Caller& caller, const Path& path, int mask);
ErrnoOrVoid ChangeMode(const Caller& caller, const Path& path, mode_t mode);
ErrnoOrVoid ChangeOwner(const Caller& caller, const Path& path, uid_t uid, gid_t gid);  // -1: unchanged
// times: two timespecs with UTIME_NOW, UTIME_OMIT; null: both now.
ErrnoOrVoid ChangeTimes(const Caller& caller, const Path& path, const timespec* times);
ErrnoOrVoid Truncate(const Caller& caller, const Path& path, uint64_t size);
// ftruncate(2): open for writing, no further check.
ErrnoOrVoid TruncateFile(const Caller& caller, FileDescription& file, uint64_t size);
// fallocate(2).
ErrnoOrVoid Allocate(const Caller& caller, FileDescription& file, int mode, uint64_t offset, uint64_t length);
// Before a write of any kind: a regular file loses its set-id bits unless the caller has CAP_FSETID.
ErrnoOrVoid ClearSetIdForWrite(const Caller& caller, FileDescription& file);

ErrnoOr<std::string> GetXattr(const Caller& caller, const Path& path, const std::string& name);
ErrnoOrVoid SetXattr(const Caller& caller, const Path& path, const std::string& name, std::string_view value,
                     int flags);
ErrnoOrVoid RemoveXattr(const Caller& caller, const Path& path, const std::string& name);
ErrnoOr<std::vector<std::string>> ListXattr(const Caller& caller, const Path& path);

ErrnoOr<struct statfs> StatFs(const Path& path);

// Whether cred may do mask (R_OK|W_OK|X_OK) with an inode of this ownership; capabilities included.
ErrnoOrVoid CheckPermission(const auth::Credentials& cred, const Ownership& owner, int mask);
// CAP_FOWNER or the owner.
bool IsOwnerOrCapable(const auth::Credentials& cred, const Ownership& owner);

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_OPERATIONS_H_
