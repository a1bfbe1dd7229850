#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <utility>

#include "absl/functional/function_ref.h"
#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"
#include "sentry/vfs/permission.h"

namespace cloister::vfs {
namespace {

// How a new name comes to be, once all is permitted.
using Maker = absl::FunctionRef<ErrnoOr<Ref<Inode>>(DirectoryInode& directory, std::string_view name)>;

// Linux: filename_create and what its callers share. `extra` runs between the checks of the name
// and those of the directory.
ErrnoOr<Path> MakeName(const Caller& caller, const Path& start, std::string_view path, bool is_directory,
                       absl::FunctionRef<ErrnoOrVoid(const Path& directory)> extra, Maker make) {
  const Parent parent = TRY(ResolveParent(caller, start, path));
  if (parent.name == "." || parent.name == ".." || parent.name == "/") return Errno::kExist;
  Dentry& directory = *parent.directory.dentry();
  absl::MutexLock lock(&directory.mu());
  const Ref<Dentry> child = TRY(directory.ChildLocked(parent.name));
  if (!child->negative()) return Errno::kExist;
  if (parent.trailing_slash && !is_directory) return Errno::kNoEnt;
  TRY_VOID(CheckWritable(*parent.directory.mount()));
  TRY_VOID(extra(parent.directory));
  TRY_VOID(MayCreateIn(caller, parent.directory));
  Ref<Inode> inode = TRY(make(*directory.inode()->AsDirectory(), parent.name));
  FileEvents::TellOfEntry(*directory.inode(), parent.name, *inode, IN_CREATE);
  return Path(parent.directory.mount(), directory.SetChildLocked(parent.name, std::move(inode)));
}

ErrnoOrVoid NothingMore(const Path&) { return {}; }

}  // namespace

ErrnoOr<Path> MakeNode(const Caller& caller, const Path& start, std::string_view path, mode_t mode,
                       dev_t rdev) {
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
      rdev = 0;
      break;
    case S_IFCHR:
    case S_IFBLK:
      break;
    case S_IFDIR:
      return Errno::kPerm;
    default:
      return Errno::kInval;
  }
  // 0:0 is overlayfs' whiteout, which anybody may make.
  const bool device = S_ISBLK(mode) || (S_ISCHR(mode) && rdev != 0);
  return MakeName(
      caller, start, path, false,
      [&](const Path&) -> ErrnoOrVoid {
        return device && !caller.cred->Has(CAP_MKNOD) ? Errno::kPerm : Ok();
      },
      [&](DirectoryInode& directory, std::string_view name) -> ErrnoOr<Ref<Inode>> {
        return directory.Create(name, TRY(MakeNewNode(caller, directory, mode & (S_IFMT | 07777), rdev)));
      });
}

ErrnoOrVoid MakeDirectory(const Caller& caller, const Path& start, std::string_view path, mode_t mode) {
  TRY_VOID(MakeName(caller, start, path, true, NothingMore,
                    [&](DirectoryInode& directory, std::string_view name) -> ErrnoOr<Ref<Inode>> {
                      const mode_t kept = S_IFDIR | (mode & 01777);
                      return directory.Create(name, TRY(MakeNewNode(caller, directory, kept, 0)));
                    }));
  return {};
}

ErrnoOrVoid MakeSymlink(const Caller& caller, std::string_view target, const Path& start,
                        std::string_view path) {
  if (target.empty()) return Errno::kNoEnt;
  TRY_VOID(MakeName(caller, start, path, false, NothingMore,
                    [&](DirectoryInode& directory, std::string_view name) -> ErrnoOr<Ref<Inode>> {
                      NewNode owner = TRY(MakeNewNode(caller, directory, S_IFLNK, 0));
                      owner.mode = S_IFLNK | 0777;  // the umask does not count
                      return directory.Symlink(name, target, owner);
                    }));
  return {};
}

ErrnoOrVoid MakeLink(const Caller& caller, const Path& target, const Path& start, std::string_view path) {
  const Ref<Inode> inode = target.dentry()->inode();
  TRY_VOID(MakeName(
      caller, start, path, false,
      [&](const Path& directory) -> ErrnoOrVoid {
        if (directory.mount() != target.mount()) return Errno::kXDev;
        return inode->is_directory() ? Errno::kPerm : Ok();
      },
      [&](DirectoryInode& directory, std::string_view name) -> ErrnoOr<Ref<Inode>> {
        TRY_VOID(directory.Link(name, *inode));
        FileEvents::Tell(*inode, IN_ATTRIB);
        return inode;
      }));
  return {};
}

}  // namespace cloister::vfs
