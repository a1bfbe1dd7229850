// Names: making, removing and moving them; directories; the working directory.

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>

#include <cstring>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/vfs/directory_file.h"
#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"

namespace cloister::syscalls {
namespace {

using usermem::UserPtr;
using vfs::Caller;
using vfs::Path;

// A path argument and where it begins.
struct Name {
  std::string path;
  Path start;
};

ErrnoOr<Name> NameAt(Task& task, int dirfd, uint64_t addr, bool may_be_empty = false) {
  Name name;
  name.path = TRY(task.CopyInPath(addr));
  if (name.path.empty() && !may_be_empty) return Errno::kNoEnt;
  name.start = TRY(task.StartOf(dirfd, name.path));
  return name;
}

ErrnoOrVoid MkdirAt(Task& task, int dirfd, uint64_t path, mode_t mode) {
  const Name name = TRY(NameAt(task, dirfd, path));
  return vfs::MakeDirectory(task.MakeCaller(), name.start, name.path, mode);
}
ErrnoOrVoid Mkdir(Task& task, const SyscallArgs& args) {
  return MkdirAt(task, AT_FDCWD, args.Addr(0), args.Mode(1));
}
ErrnoOrVoid Mkdirat(Task& task, const SyscallArgs& args) {
  return MkdirAt(task, args.Int(0), args.Addr(1), args.Mode(2));
}

ErrnoOrVoid MknodAt(Task& task, int dirfd, uint64_t path, mode_t mode, uint32_t dev) {
  // Linux: may_mknod, before anything else.
  switch (mode & S_IFMT) {
    case 0:
      mode |= S_IFREG;
      break;
    case S_IFREG:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
      break;
    default:
      return (mode & S_IFMT) == S_IFDIR ? Errno::kPerm : Errno::kInval;
  }
  const Name name = TRY(NameAt(task, dirfd, path));
  // The kernel's 32-bit encoding of a device number is glibc's for small numbers.
  TRY(vfs::MakeNode(task.MakeCaller(), name.start, name.path, mode, dev));
  return {};
}
ErrnoOrVoid Mknod(Task& task, const SyscallArgs& args) {
  return MknodAt(task, AT_FDCWD, args.Addr(0), args.Mode(1), args.Uint(2));
}
ErrnoOrVoid Mknodat(Task& task, const SyscallArgs& args) {
  return MknodAt(task, args.Int(0), args.Addr(1), args.Mode(2), args.Uint(3));
}

ErrnoOrVoid Rmdir(Task& task, const SyscallArgs& args) {
  const Name name = TRY(NameAt(task, AT_FDCWD, args.Addr(0)));
  return vfs::RemoveDirectory(task.MakeCaller(), name.start, name.path);
}
ErrnoOrVoid Unlink(Task& task, const SyscallArgs& args) {
  const Name name = TRY(NameAt(task, AT_FDCWD, args.Addr(0)));
  return vfs::Unlink(task.MakeCaller(), name.start, name.path);
}
ErrnoOrVoid Unlinkat(Task& task, const SyscallArgs& args) {
  if (args.Int(2) & ~AT_REMOVEDIR) return Errno::kInval;
  const Name name = TRY(NameAt(task, args.Int(0), args.Addr(1)));
  if (args.Int(2) & AT_REMOVEDIR) return vfs::RemoveDirectory(task.MakeCaller(), name.start, name.path);
  return vfs::Unlink(task.MakeCaller(), name.start, name.path);
}

ErrnoOrVoid RenameAt(Task& task, int old_dir, uint64_t old_path, int new_dir, uint64_t new_path,
                     uint32_t flags) {
  if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) return Errno::kInval;
  if ((flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) && (flags & RENAME_EXCHANGE)) return Errno::kInval;
  const Name from = TRY(NameAt(task, old_dir, old_path));
  const ErrnoOr<Name> to = NameAt(task, new_dir, new_path);
  if (!to.ok()) {
    // As in Linux, what is wrong with the way to the old name goes before what is wrong with the new one.
    TRY_VOID(vfs::ResolveParent(task.MakeCaller(), from.start, from.path));
    return to.error();
  }
  return vfs::Rename(task.MakeCaller(), from.start, from.path, to->start, to->path, flags);
}
ErrnoOrVoid Rename(Task& task, const SyscallArgs& args) {
  return RenameAt(task, AT_FDCWD, args.Addr(0), AT_FDCWD, args.Addr(1), 0);
}
ErrnoOrVoid Renameat(Task& task, const SyscallArgs& args) {
  return RenameAt(task, args.Int(0), args.Addr(1), args.Int(2), args.Addr(3), 0);
}
ErrnoOrVoid Renameat2(Task& task, const SyscallArgs& args) {
  return RenameAt(task, args.Int(0), args.Addr(1), args.Int(2), args.Addr(3), args.Uint(4));
}

ErrnoOrVoid LinkAt(Task& task, int old_dir, uint64_t old_path, int new_dir, uint64_t new_path, int flags) {
  if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) return Errno::kInval;
  const Caller caller = task.MakeCaller();
  const Name from = TRY(NameAt(task, old_dir, old_path, (flags & AT_EMPTY_PATH) != 0));
  if (from.path.empty() && !caller.cred->Has(CAP_DAC_READ_SEARCH)) return Errno::kNoEnt;
  vfs::WalkOptions walk;
  walk.follow_last = (flags & AT_SYMLINK_FOLLOW) != 0;
  walk.allow_empty = (flags & AT_EMPTY_PATH) != 0;
  const Path target = TRY(vfs::Resolve(caller, from.start, from.path, walk));
  const Name to = TRY(NameAt(task, new_dir, new_path));
  return vfs::MakeLink(caller, target, to.start, to.path);
}
ErrnoOrVoid Link(Task& task, const SyscallArgs& args) {
  return LinkAt(task, AT_FDCWD, args.Addr(0), AT_FDCWD, args.Addr(1), 0);
}
ErrnoOrVoid Linkat(Task& task, const SyscallArgs& args) {
  return LinkAt(task, args.Int(0), args.Addr(1), args.Int(2), args.Addr(3), args.Int(4));
}

ErrnoOrVoid SymlinkAt(Task& task, uint64_t target_addr, int dirfd, uint64_t path) {
  const std::string target = TRY(task.CopyInPath(target_addr));
  if (target.empty()) return Errno::kNoEnt;
  const Name name = TRY(NameAt(task, dirfd, path));
  return vfs::MakeSymlink(task.MakeCaller(), target, name.start, name.path);
}
ErrnoOrVoid Symlink(Task& task, const SyscallArgs& args) {
  return SymlinkAt(task, args.Addr(0), AT_FDCWD, args.Addr(1));
}
ErrnoOrVoid Symlinkat(Task& task, const SyscallArgs& args) {
  return SymlinkAt(task, args.Addr(0), args.Int(1), args.Addr(2));
}

ErrnoOr<size_t> ReadlinkAt(Task& task, int dirfd, uint64_t path, uint64_t buffer, int size) {
  if (size <= 0) return Errno::kInval;
  const Name name = TRY(NameAt(task, dirfd, path, true));
  const Caller caller = task.MakeCaller();
  vfs::WalkOptions walk;
  walk.follow_last = false;
  walk.allow_empty = true;
  if (name.path.empty() && dirfd == AT_FDCWD) return Errno::kNoEnt;
  const Path link = TRY(vfs::Resolve(caller, name.start, name.path, walk));
  const ErrnoOr<std::string> text = vfs::Readlink(caller, link);
  if (!text.ok()) return name.path.empty() && text.error() == Errno::kInval ? Errno::kNoEnt : text.error();
  const size_t n = std::min<size_t>(text->size(), static_cast<size_t>(size));
  TRY_VOID(usermem::CopyOutBytes(task.space(), buffer, std::as_bytes(std::span(*text)).first(n)));
  return n;
}
ErrnoOr<size_t> Readlink(Task& task, const SyscallArgs& args) {
  return ReadlinkAt(task, AT_FDCWD, args.Addr(0), args.Addr(1), args.Int(2));
}
ErrnoOr<size_t> Readlinkat(Task& task, const SyscallArgs& args) {
  return ReadlinkAt(task, args.Int(0), args.Addr(1), args.Addr(2), args.Int(3));
}

ErrnoOr<size_t> Getcwd(Task& task, const SyscallArgs& args) {
  const task::FsContext::View view = task.fs().Get();
  if (view.cwd.dentry()->deleted()) return Errno::kNoEnt;
  const std::string text = vfs::PathText(*view.mounts, view.root, view.cwd);
  if (text.size() + 1 > PATH_MAX) return Errno::kNameTooLong;
  if (text.size() + 1 > args.Size(1)) return Errno::kRange;
  TRY_VOID(usermem::CopyOutBytes(task.space(), args.Addr(0),
                                 std::as_bytes(std::span(text.c_str(), text.size() + 1))));
  return text.size() + 1;
}

ErrnoOrVoid MayEnter(const Caller& caller, const Path& path) {
  const Ref<vfs::Inode> inode = path.dentry()->inode();
  if (!inode) return Errno::kNoEnt;
  if (!inode->is_directory()) return Errno::kNotDir;
  return vfs::CheckPermission(*caller.cred, TRY(inode->GetOwnership()), X_OK);
}

ErrnoOr<Path> DirectoryAt(Task& task, uint64_t addr) {
  const Name name = TRY(NameAt(task, AT_FDCWD, addr));
  const Caller caller = task.MakeCaller();
  vfs::WalkOptions walk;
  walk.want_directory = true;
  const Path path = TRY(vfs::Resolve(caller, name.start, name.path, walk));
  TRY_VOID(MayEnter(caller, path));
  return path;
}

ErrnoOrVoid Chdir(Task& task, const SyscallArgs& args) {
  task.fs().SetCwd(TRY(DirectoryAt(task, args.Addr(0))));
  return {};
}

ErrnoOrVoid Fchdir(Task& task, const SyscallArgs& args) {
  const Ref<vfs::FileDescription> file = TRY(task.GetAnyFile(args.Int(0)));
  if (!file->path()) return Errno::kNotDir;
  TRY_VOID(MayEnter(task.MakeCaller(), file->path()));
  task.fs().SetCwd(file->path());
  return {};
}

ErrnoOrVoid Chroot(Task& task, const SyscallArgs& args) {
  const Path path = TRY(DirectoryAt(task, args.Addr(0)));
  if (!task.cred()->Has(CAP_SYS_CHROOT)) return Errno::kPerm;
  task.fs().SetRoot(path);
  return {};
}

Answer Umask(Task& task, const SyscallArgs& args) { return task.fs().SetUmask(args.Mode(0)); }

// getdents64(2) and getdents(2) build records in memory of the sentry and copy them out at once.
template <bool k64>
ErrnoOr<size_t> Getdents(Task& task, const SyscallArgs& args) {
  constexpr size_t kMaxBuffer = 64 << 10;
  constexpr size_t kHeader = 18;  // d_ino, d_off, d_reclen (and d_type before the name in linux_dirent64)
  const Ref<vfs::FileDescription> file = TRY(task.GetFile(args.Int(0)));
  vfs::DirectoryFile* const directory = file->AsDirectory();
  if (directory == nullptr) return Errno::kNotDir;
  // Linux: iterate_dir, IS_DEADDIR.
  if (file->path() && file->path().dentry()->deleted()) return Errno::kNoEnt;
  const size_t space = std::min<size_t>(args.Uint(2), kMaxBuffer);
  std::vector<std::byte> out;
  bool too_small = false;
  TRY_VOID(directory->ReadDir([&](const vfs::DirectoryFile::Entry& entry) {
    // linux_dirent keeps the type in the record's last byte.
    const size_t size = (kHeader + (k64 ? 1 : 0) + entry.name.size() + 1 + (k64 ? 0 : 1) + 7) & ~size_t{7};
    if (out.size() + size > space) {
      too_small = out.empty();
      return false;
    }
    const size_t at = out.size();
    out.resize(at + size);
    std::byte* const record = out.data() + at;
    const uint16_t length = static_cast<uint16_t>(size);
    memcpy(record, &entry.inode, 8);
    memcpy(record + 8, &entry.next, 8);
    memcpy(record + 16, &length, 2);
    record[k64 ? 18 : size - 1] = static_cast<std::byte>(entry.type);
    memcpy(record + (k64 ? 19 : 18), entry.name.data(), entry.name.size());
    return true;
  }));
  if (too_small) return Errno::kInval;
  vfs::FileEvents::TellPath(file->path(), IN_ACCESS);
  TRY_VOID(usermem::CopyOutBytes(task.space(), args.Addr(1), out));
  return out.size();
}

constexpr Entry kEntries[] = {
    {SYS_mkdir, Plain<Mkdir>},
    {SYS_mkdirat, Plain<Mkdirat>},
    {SYS_mknod, Plain<Mknod>},
    {SYS_mknodat, Plain<Mknodat>},
    {SYS_rmdir, Plain<Rmdir>},
    {SYS_unlink, Plain<Unlink>},
    {SYS_unlinkat, Plain<Unlinkat>},
    {SYS_rename, Plain<Rename>},
    {SYS_renameat, Plain<Renameat>},
    {SYS_renameat2, Plain<Renameat2>},
    {SYS_link, Plain<Link>},
    {SYS_linkat, Plain<Linkat>},
    {SYS_symlink, Plain<Symlink>},
    {SYS_symlinkat, Plain<Symlinkat>},
    {SYS_readlink, Plain<Readlink>},
    {SYS_readlinkat, Plain<Readlinkat>},
    {SYS_getcwd, Plain<Getcwd>},
    {SYS_chdir, Plain<Chdir>},
    {SYS_fchdir, Plain<Fchdir>},
    {SYS_chroot, Plain<Chroot>},
    {SYS_umask, Plain<Umask>},
    {SYS_getdents, Plain<Getdents<false>>},
    {SYS_getdents64, Plain<Getdents<true>>},
};

}  // namespace

std::span<const Entry> NameSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
