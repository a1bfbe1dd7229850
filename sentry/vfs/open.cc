#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"
#include "sentry/vfs/path_walk.h"
#include "sentry/vfs/permission.h"

namespace cloister::vfs {
namespace {

constexpr int kTmpFileBit = O_TMPFILE & ~O_DIRECTORY;
constexpr int kPathFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr int kVfsFlags = O_CREAT | O_EXCL | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC | O_NOCTTY | kTmpFileBit;

// An O_PATH descriptor: a place in the tree and nothing more.
class PathOnlyFile final : public FileDescription {
 public:
  using FileDescription::FileDescription;
  ErrnoOrVoid SetStatusFlags(int) override { return Errno::kBadf; }
};

int AccessMask(int flags) {
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return R_OK | ((flags & O_TRUNC) != 0 ? W_OK : 0);
    case O_WRONLY:
      return W_OK;
    default:
      return R_OK | W_OK;
  }
}

ErrnoOr<int> CheckFlags(int flags) {
  if ((flags & O_PATH) != 0) return flags & kPathFlags;
  if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY)) return Errno::kInval;
  if ((flags & kTmpFileBit) != 0) {
    if ((flags & O_TMPFILE) != O_TMPFILE) return Errno::kInval;
    if ((AccessMask(flags & O_ACCMODE) & W_OK) == 0) return Errno::kInval;
  }
  return flags;
}

// Linux: may_open. `fresh`: the file was made by this very open, whatever its mode says.
ErrnoOrVoid CheckMayOpen(const Caller& caller, const Path& path, int flags, bool fresh) {
  Inode& inode = *path.dentry()->inode();
  const int mask = AccessMask(flags);
  const bool writes = (mask & W_OK) != 0;
  switch (inode.type()) {
    case S_IFLNK:
      return Errno::kLoop;
    case S_IFDIR:
      if (writes) return Errno::kIsDir;
      if ((flags & O_DIRECT) != 0) return Errno::kInval;
      break;
    case S_IFCHR:
    case S_IFBLK:
      if ((path.mount()->flags() & MS_NODEV) != 0) return Errno::kAcces;
      break;
    default:
      break;
  }
  const bool bound_to_mount = inode.type() == S_IFREG || inode.type() == S_IFDIR;
  if (writes && bound_to_mount && path.mount()->fs().read_only()) return Errno::kRofs;
  const Ownership owner = TRY(inode.GetOwnership());
  if (!fresh) TRY_VOID(CheckPermission(*caller.cred, owner, mask));
  if ((flags & O_NOATIME) != 0 && !IsOwnerOrCapable(*caller.cred, owner)) return Errno::kPerm;
  if (writes && bound_to_mount) TRY_VOID(CheckWritable(*path.mount()));
  return {};
}

// Linux: handle_truncate clears what file_remove_privs clears.
ErrnoOrVoid DropSetIdBits(const Caller& caller, Inode& inode) {
  const Ownership owner = TRY(inode.GetOwnership());
  if (caller.cred->Has(CAP_FSETID)) return {};
  const mode_t mode = WithoutSetId(*caller.cred, owner);
  if (mode == owner.mode) return {};
  return inode.SetAttr({.mode = mode & 07777});
}

ErrnoOr<Ref<FileDescription>> OpenNode(const Caller& caller, const Path& path, int flags) {
  Inode& inode = *path.dentry()->inode();
  if ((flags & O_TRUNC) != 0) TRY_VOID(DropSetIdBits(caller, inode));
  // Terminals want to know O_NOCTTY.
  const int hidden = inode.type() == S_IFCHR ? kVfsFlags & ~O_NOCTTY : kVfsFlags;
  return inode.Open({flags & ~hidden, path, caller.cred});
}

// With the inode's write access where the file is to be written. Linux: do_dentry_open.
ErrnoOr<Ref<FileDescription>> OpenPermitted(const Caller& caller, const Path& path, int flags) {
  const Ref<Inode> inode = path.dentry()->inode();
  if (inode->type() != S_IFREG || (AccessMask(flags) & W_OK) == 0) return OpenNode(caller, path, flags);
  TRY_VOID(inode->TakeWriteAccess());
  ErrnoOr<Ref<FileDescription>> file = OpenNode(caller, path, flags);
  if (file.ok() && (*file)->writable()) {
    (*file)->KeepWriteAccess(inode);
  } else {
    inode->GiveBackWriteAccess();
  }
  return file;
}

ErrnoOr<Ref<FileDescription>> OpenFound(const Caller& caller, const Path& path, int flags, bool fresh) {
  if ((flags & O_PATH) != 0) return MakeRef<PathOnlyFile>(flags & ~O_CLOEXEC, path, caller.cred);
  Inode& inode = *path.dentry()->inode();
  if (fresh || (inode.type() != S_IFREG && !inode.is_directory())) flags &= ~O_TRUNC;
  TRY_VOID(CheckMayOpen(caller, path, flags, fresh));
  Ref<FileDescription> file = TRY(OpenPermitted(caller, path, flags));
  if ((flags & O_TRUNC) != 0) FileEvents::TellPath(path, IN_MODIFY);
  FileEvents::TellPath(path, IN_OPEN);
  return file;
}

struct Created {
  Path path;
  bool fresh = false;
};

// The last component of a walk under O_CREAT: found or made. Empty where it is a link to follow,
// which *link then holds.
ErrnoOr<Created> FindOrCreate(const Caller& caller, PathWalk& walk, int flags, mode_t mode,
                              Ref<Dentry>* link) {
  if (walk.last_kind() != PathWalk::LastKind::kName || walk.trailing_slash()) return Errno::kIsDir;
  const Path directory = walk.Place();
  Dentry& parent = *directory.dentry();
  Ref<Dentry> child = TRY(parent.Child(walk.last()));
  if (child->negative()) {
    absl::MutexLock lock(&parent.mu());
    child = TRY(parent.ChildLocked(walk.last()));
    if (child->negative()) {
      TRY_VOID(CheckWritable(*directory.mount()));
      TRY_VOID(MayCreateIn(caller, directory));
      const NewNode node = TRY(MakeNewNode(caller, *parent.inode(), S_IFREG | (mode & 07777), 0));
      Ref<Inode> inode = TRY(parent.inode()->AsDirectory()->Create(walk.last(), node));
      FileEvents::TellOfEntry(*parent.inode(), walk.last(), *inode, IN_CREATE);
      return Created{Path(directory.mount(), parent.SetChildLocked(walk.last(), std::move(inode))), true};
    }
  }
  if ((flags & O_EXCL) != 0) return Errno::kExist;
  if (child->inode()->is_symlink()) {
    if ((flags & O_NOFOLLOW) != 0) return Errno::kLoop;
    *link = std::move(child);
    return Created{};
  }
  Path found = TRY(walk.CrossMounts(std::move(child)));
  if (found.dentry()->inode()->is_directory()) return Errno::kIsDir;
  return Created{std::move(found), false};
}

ErrnoOr<Ref<FileDescription>> OpenCreating(const Caller& caller, const Path& start, std::string_view path,
                                           int flags, mode_t mode, uint64_t resolve) {
  PathWalk walk(caller, start, resolve);
  TRY_VOID(walk.ToParent(path));
  while (true) {
    Ref<Dentry> link;
    const Created created = TRY(FindOrCreate(caller, walk, flags, mode, &link));
    if (created.path) return OpenFound(caller, created.path, flags, created.fresh);
    TRY_VOID(walk.FollowLast(link));
    // A magic link leads straight to a file.
    if (walk.last_kind() == PathWalk::LastKind::kRoot && !walk.dentry()->inode()->is_directory()) {
      return OpenFound(caller, walk.Place(), flags, false);
    }
  }
}

ErrnoOr<Ref<FileDescription>> OpenUnnamed(const Caller& caller, const Path& start, std::string_view path,
                                          int flags, mode_t mode, uint64_t resolve) {
  const Path directory =
      TRY(Resolve(caller, start, path,
                  {.follow_last = (flags & O_NOFOLLOW) == 0, .want_directory = true, .resolve = resolve}));
  TRY_VOID(CheckWritable(*directory.mount()));
  Inode& parent = *directory.dentry()->inode();
  TRY_VOID(CheckInode(*caller.cred, parent, W_OK | X_OK));
  NewNode node = TRY(MakeNewNode(caller, parent, S_IFREG | (mode & 07777), 0));
  Ref<Inode> inode = TRY(parent.AsDirectory()->CreateUnnamed(node));
  const struct statx attr = TRY(inode->GetAttr());
  const std::string name = absl::StrCat("#", attr.stx_ino);
  const Path place(directory.mount(), Dentry::MakeUnnamed(directory.dentry(), name, inode));
  // O_EXCL stays visible to the file system: it forbids linkat(2) later.
  Ref<FileDescription> file = TRY(inode->Open({(flags & ~kVfsFlags) | (flags & O_EXCL), place, caller.cred}));
  TRY_VOID(inode->TakeWriteAccess());
  file->KeepWriteAccess(std::move(inode));
  return file;
}

}  // namespace

ErrnoOr<Ref<FileDescription>> Open(const Caller& caller, const Path& start, std::string_view path, int flags,
                                   mode_t mode, uint64_t resolve) {
  flags = TRY(CheckFlags(flags));
  if (path.empty()) return Errno::kNoEnt;
  if ((flags & kTmpFileBit) != 0) return OpenUnnamed(caller, start, path, flags, mode, resolve);
  if ((flags & O_CREAT) != 0) return OpenCreating(caller, start, path, flags, mode, resolve);
  const Path found = TRY(Resolve(caller, start, path,
                                 {.follow_last = (flags & O_NOFOLLOW) == 0,
                                  .want_directory = (flags & O_DIRECTORY) != 0,
                                  .resolve = resolve}));
  return OpenFound(caller, found, flags, false);
}

ErrnoOr<Ref<FileDescription>> OpenPath(const Caller& caller, const Path& path, int flags) {
  flags = TRY(CheckFlags(flags));
  if ((flags & O_DIRECTORY) != 0 && !path.dentry()->inode()->is_directory()) return Errno::kNotDir;
  return OpenFound(caller, path, flags, false);
}

}  // namespace cloister::vfs
