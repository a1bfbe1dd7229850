// Attributes of files: stat, modes, owners, times, sizes, extended attributes, file systems.

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/xattr.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <utime.h>

#include <cstring>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/vfs/operations.h"

namespace cloister::syscalls {
namespace {

using usermem::UserPtr;
using vfs::Caller;
using vfs::FileDescription;
using vfs::Path;

// The file that the …at calls name, with AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH.
ErrnoOr<Path> PathAt(Task& task, const Caller& caller, int dirfd, uint64_t addr, int flags) {
  const std::string path = TRY(task.CopyInPath(addr));
  if (path.empty() && !(flags & AT_EMPTY_PATH)) return Errno::kNoEnt;
  vfs::WalkOptions walk;
  walk.follow_last = !(flags & AT_SYMLINK_NOFOLLOW);
  walk.allow_empty = (flags & AT_EMPTY_PATH) != 0;
  return vfs::Resolve(caller, TRY(task.StartOf(dirfd, path)), path, walk);
}

struct stat ToStat(const struct statx& x) {
  struct stat s = {};
  s.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor);
  s.st_ino = x.stx_ino;
  s.st_nlink = x.stx_nlink;
  s.st_mode = x.stx_mode;
  s.st_uid = x.stx_uid;
  s.st_gid = x.stx_gid;
  s.st_rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor);
  s.st_size = static_cast<off_t>(x.stx_size);
  s.st_blksize = x.stx_blksize;
  s.st_blocks = static_cast<blkcnt_t>(x.stx_blocks);
  s.st_atim = {x.stx_atime.tv_sec, x.stx_atime.tv_nsec};
  s.st_mtim = {x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec};
  s.st_ctim = {x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec};
  return s;
}

// An open file's attributes: of its path, or of an inode that has none.
ErrnoOr<struct statx> StatFile(FileDescription& file) { return file.inode()->GetAttr(); }

// An empty path with AT_EMPTY_PATH is the descriptor itself, which need not have a path.
ErrnoOr<struct statx> StatAt(Task& task, int dirfd, uint64_t addr, int flags) {
  // Since Linux 6.11 a null pointer stands for the empty path.
  const bool no_path = addr == 0 && (flags & AT_EMPTY_PATH);
  const std::string path = no_path ? "" : TRY(task.CopyInPath(addr));
  if (path.empty() && !(flags & AT_EMPTY_PATH)) return Errno::kNoEnt;
  if (path.empty() && dirfd != AT_FDCWD) return StatFile(*TRY(task.GetAnyFile(dirfd)));
  vfs::WalkOptions walk;
  walk.follow_last = !(flags & AT_SYMLINK_NOFOLLOW);
  walk.allow_empty = (flags & AT_EMPTY_PATH) != 0;
  return vfs::Stat(TRY(vfs::Resolve(task.MakeCaller(), TRY(task.StartOf(dirfd, path)), path, walk)));
}

ErrnoOrVoid PutStat(Task& task, uint64_t to, const ErrnoOr<struct statx>& attr) {
  return task.CopyOut(UserPtr<struct stat>(to), ToStat(TRY(attr)));
}

ErrnoOrVoid Stat(Task& task, const SyscallArgs& args) {
  return PutStat(task, args.Addr(1), StatAt(task, AT_FDCWD, args.Addr(0), 0));
}
ErrnoOrVoid Lstat(Task& task, const SyscallArgs& args) {
  return PutStat(task, args.Addr(1), StatAt(task, AT_FDCWD, args.Addr(0), AT_SYMLINK_NOFOLLOW));
}
ErrnoOrVoid Fstat(Task& task, const SyscallArgs& args) {
  return PutStat(task, args.Addr(1), StatFile(*TRY(task.GetAnyFile(args.Int(0)))));
}
ErrnoOrVoid Newfstatat(Task& task, const SyscallArgs& args) {
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
  if (args.Int(3) & ~kFlags) return Errno::kInval;
  return PutStat(task, args.Addr(2), StatAt(task, args.Int(0), args.Addr(1), args.Int(3)));
}

ErrnoOrVoid Statx(Task& task, const SyscallArgs& args) {
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
  if ((args.Int(2) & ~kFlags) || (args.Uint(3) & STATX__RESERVED)) return Errno::kInval;
  if ((args.Int(2) & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE) return Errno::kInval;
  return task.CopyOut(args.Ptr<struct statx>(4), TRY(StatAt(task, args.Int(0), args.Addr(1), args.Int(2))));
}

// access(2) asks with the real ids, and with the capabilities that they would have.
ErrnoOrVoid AccessAt(Task& task, int dirfd, uint64_t path, int mode, int flags) {
  if ((mode & ~(R_OK | W_OK | X_OK)) || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
    return Errno::kInval;
  Caller caller = task.MakeCaller();
  if (!(flags & AT_EACCESS)) {
    auth::Credentials real = *caller.cred;
    real.fsuid = real.uid;
    real.fsgid = real.gid;
    if (!(real.securebits & 4 /* SECBIT_NO_SETUID_FIXUP */)) {
      real.effective = real.uid == 0 ? real.permitted : auth::CapSet();
    }
    caller.cred = std::make_shared<const auth::Credentials>(std::move(real));
  }
  return vfs::Access(caller, TRY(PathAt(task, caller, dirfd, path, flags)), mode);
}
ErrnoOrVoid Access(Task& task, const SyscallArgs& args) {
  return AccessAt(task, AT_FDCWD, args.Addr(0), args.Int(1), 0);
}
ErrnoOrVoid Faccessat(Task& task, const SyscallArgs& args) {
  return AccessAt(task, args.Int(0), args.Addr(1), args.Int(2), 0);
}
ErrnoOrVoid Faccessat2(Task& task, const SyscallArgs& args) {
  return AccessAt(task, args.Int(0), args.Addr(1), args.Int(2), args.Int(3));
}

ErrnoOr<Path> PathOfFd(Task& task, int fd) {
  const Ref<FileDescription> file = TRY(task.GetFile(fd));
  if (!file->path()) return Errno::kInval;
  return file->path();
}

ErrnoOrVoid ChmodAt(Task& task, int dirfd, uint64_t path, mode_t mode, int flags) {
  const Caller caller = task.MakeCaller();
  return vfs::ChangeMode(caller, TRY(PathAt(task, caller, dirfd, path, flags)), mode & 07777);
}
ErrnoOrVoid Chmod(Task& task, const SyscallArgs& args) {
  return ChmodAt(task, AT_FDCWD, args.Addr(0), args.Mode(1), 0);
}
ErrnoOrVoid Fchmodat(Task& task, const SyscallArgs& args) {
  return ChmodAt(task, args.Int(0), args.Addr(1), args.Mode(2), 0);
}
ErrnoOrVoid Fchmodat2(Task& task, const SyscallArgs& args) {
  if (args.Int(3) & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return Errno::kInval;
  return ChmodAt(task, args.Int(0), args.Addr(1), args.Mode(2), args.Int(3));
}

// Files without a path (pipes, sockets, memfds) have attributes of their own.
ErrnoOrVoid ChangeUnnamed(Task& task, FileDescription& file, const vfs::AttrChange& change) {
  // Linux: anon_inode_setattr, since 6.17.
  if (file.AsAnon() != nullptr || file.AsEpoll() != nullptr) return Errno::kOpNotSupp;
  const Ref<vfs::Inode> inode = file.inode();
  if (!vfs::IsOwnerOrCapable(*task.cred(), TRY(inode->GetOwnership()))) return Errno::kPerm;
  return inode->SetAttr(change);
}

ErrnoOrVoid Fchmod(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  if (file->path()) return vfs::ChangeMode(task.MakeCaller(), file->path(), args.Mode(1) & 07777);
  vfs::AttrChange change;
  change.mode = args.Mode(1) & 07777;
  return ChangeUnnamed(task, *file, change);
}

ErrnoOrVoid ChownAt(Task& task, int dirfd, uint64_t path, uid_t uid, gid_t gid, int flags) {
  if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return Errno::kInval;
  const Caller caller = task.MakeCaller();
  return vfs::ChangeOwner(caller, TRY(PathAt(task, caller, dirfd, path, flags)), uid, gid);
}
ErrnoOrVoid Chown(Task& task, const SyscallArgs& args) {
  return ChownAt(task, AT_FDCWD, args.Addr(0), args.Uint(1), args.Uint(2), 0);
}
ErrnoOrVoid Lchown(Task& task, const SyscallArgs& args) {
  return ChownAt(task, AT_FDCWD, args.Addr(0), args.Uint(1), args.Uint(2), AT_SYMLINK_NOFOLLOW);
}
ErrnoOrVoid Fchownat(Task& task, const SyscallArgs& args) {
  return ChownAt(task, args.Int(0), args.Addr(1), args.Uint(2), args.Uint(3), args.Int(4));
}
ErrnoOrVoid Fchown(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  if (file->path()) return vfs::ChangeOwner(task.MakeCaller(), file->path(), args.Uint(1), args.Uint(2));
  vfs::AttrChange change;
  if (args.Uint(1) != ~0u) change.uid = args.Uint(1);
  if (args.Uint(2) != ~0u) change.gid = args.Uint(2);
  return ChangeUnnamed(task, *file, change);
}

ErrnoOrVoid CheckTime(const timespec& t) {
  if (t.tv_nsec == UTIME_NOW || t.tv_nsec == UTIME_OMIT) return {};
  if (t.tv_nsec < 0 || t.tv_nsec >= 1'000'000'000) return Errno::kInval;
  return {};
}

ErrnoOrVoid Utimensat(Task& task, const SyscallArgs& args) {
  timespec times[2];
  const bool given = args.Addr(2) != 0;
  if (given) {
    TRY_VOID(usermem::CopyInBytes(task.space(), args.Addr(2), std::as_writable_bytes(std::span(times))));
    if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT) return {};
  }
  const Caller caller = task.MakeCaller();
  const bool of_fd = args.Addr(1) == 0 && args.Int(0) != AT_FDCWD;
  if (args.Int(3) & ~(of_fd ? 0 : AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return Errno::kInval;
  const Path path = of_fd ? TRY(PathOfFd(task, args.Int(0)))
                          : TRY(PathAt(task, caller, args.Int(0), args.Addr(1), args.Int(3)));
  if (given) {
    TRY_VOID(CheckTime(times[0]));
    TRY_VOID(CheckTime(times[1]));
  }
  return vfs::ChangeTimes(caller, path, given ? times : nullptr);
}

// utimes(2), futimesat(2): two struct timeval.
ErrnoOrVoid UtimesAt(Task& task, int dirfd, uint64_t path, uint64_t times_addr) {
  timespec times[2];
  if (times_addr != 0) {
    timeval given[2];
    TRY_VOID(usermem::CopyInBytes(task.space(), times_addr, std::as_writable_bytes(std::span(given))));
    for (int i = 0; i < 2; ++i) {
      if (given[i].tv_usec < 0 || given[i].tv_usec >= 1'000'000) return Errno::kInval;
      times[i] = {given[i].tv_sec, given[i].tv_usec * 1000};
    }
  }
  const Caller caller = task.MakeCaller();
  return vfs::ChangeTimes(caller, TRY(PathAt(task, caller, dirfd, path, 0)),
                          times_addr != 0 ? times : nullptr);
}
ErrnoOrVoid Utimes(Task& task, const SyscallArgs& args) {
  return UtimesAt(task, AT_FDCWD, args.Addr(0), args.Addr(1));
}
ErrnoOrVoid Futimesat(Task& task, const SyscallArgs& args) {
  return UtimesAt(task, args.Int(0), args.Addr(1), args.Addr(2));
}
ErrnoOrVoid Utime(Task& task, const SyscallArgs& args) {
  timespec times[2];
  if (args.Addr(1) != 0) {
    const utimbuf given = TRY(task.CopyIn(args.Ptr<const utimbuf>(1)));
    times[0] = {given.actime, 0};
    times[1] = {given.modtime, 0};
  }
  const Caller caller = task.MakeCaller();
  return vfs::ChangeTimes(caller, TRY(PathAt(task, caller, AT_FDCWD, args.Addr(0), 0)),
                          args.Addr(1) ? times : nullptr);
}

// A file that would grow to `size`: beyond RLIMIT_FSIZE the error comes with a signal.
ErrnoOrVoid OrSignal(Task& task, uint64_t size, ErrnoOrVoid result) {
  if (!result.ok() && result.error() == Errno::kFBig && size > task.Limit(RLIMIT_FSIZE).rlim_cur) {
    task.Raise(SIGXFSZ);
  }
  return result;
}
ErrnoOrVoid Truncate(Task& task, const SyscallArgs& args) {
  const Caller caller = task.MakeCaller();
  if (args.Long(1) < 0) return Errno::kInval;
  const Path path = TRY(PathAt(task, caller, AT_FDCWD, args.Addr(0), 0));
  return OrSignal(task, args.Raw(1), vfs::Truncate(caller, path, args.Raw(1)));
}
ErrnoOrVoid Ftruncate(Task& task, const SyscallArgs& args) {
  if (args.Long(1) < 0) return Errno::kInval;
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  return OrSignal(task, args.Raw(1), vfs::TruncateFile(task.MakeCaller(), *file, args.Raw(1)));
}
// Linux: vfs_fallocate.
ErrnoOrVoid CheckAllocation(FileDescription& file, int mode) {
  const int kind = mode & ~FALLOC_FL_KEEP_SIZE;
  const bool keeps = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  constexpr int kWriteZeroes = 0x80;
  switch (kind) {
    case 0:
    case FALLOC_FL_ZERO_RANGE:
    case FALLOC_FL_UNSHARE_RANGE:
      break;
    case FALLOC_FL_PUNCH_HOLE:
      if (!keeps) return Errno::kOpNotSupp;
      break;
    case FALLOC_FL_COLLAPSE_RANGE:
    case FALLOC_FL_INSERT_RANGE:
    case kWriteZeroes:
      if (keeps) return Errno::kOpNotSupp;
      break;
    default:
      return Errno::kOpNotSupp;
  }
  if (!file.writable()) return Errno::kBadf;
  const Ref<vfs::Inode> inode = file.inode();
  if (!inode || inode->type() == S_IFREG || inode->type() == S_IFBLK) return {};
  return inode->type() == S_IFIFO ? Errno::kSPipe : inode->is_directory() ? Errno::kIsDir : Errno::kNoDev;
}

ErrnoOrVoid Fallocate(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  if (args.Long(2) < 0 || args.Long(3) <= 0) return Errno::kInval;
  TRY_VOID(CheckAllocation(*file, args.Int(1)));
  const uint64_t end = args.Raw(2) + args.Raw(3);
  if (end > static_cast<uint64_t>(INT64_MAX)) return Errno::kFBig;
  return OrSignal(task, end, vfs::Allocate(task.MakeCaller(), *file, args.Int(1), args.Raw(2), args.Raw(3)));
}

ErrnoOrVoid PutStatfs(Task& task, uint64_t to, const ErrnoOr<struct statfs>& result) {
  return task.CopyOut(UserPtr<struct statfs>(to), TRY(result));
}
ErrnoOrVoid Statfs(Task& task, const SyscallArgs& args) {
  const Caller caller = task.MakeCaller();
  return PutStatfs(task, args.Addr(1), vfs::StatFs(TRY(PathAt(task, caller, AT_FDCWD, args.Addr(0), 0))));
}
ErrnoOrVoid Fstatfs(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetAnyFile(args.Int(0)));
  if (file->path()) return PutStatfs(task, args.Addr(1), vfs::StatFs(file->path()));
  return PutStatfs(task, args.Addr(1), file->inode()->fs().StatFs());
}

// ---- Extended attributes: by path, by the link itself, by descriptor ----

enum class By { kPath, kLink, kFd };

// A descriptor of a file that has no name: pipes, sockets, anonymous files. They have no attributes, and
// other errors for each kind of name. Linux: xattr_permission.
template <By kBy>
ErrnoOr<bool> IsUnnamed(Task& task, const SyscallArgs& args) {
  if constexpr (kBy == By::kFd) return !TRY(task.GetFile(args.Int(0)))->path();
  return false;
}

Errno UnnamedError(Task& task, std::string_view name, bool changes) {
  const bool privileged = task.cred()->Has(CAP_SYS_ADMIN);
  const bool refused = name.starts_with("user.") || (name.starts_with("trusted.") && !privileged);
  if (refused) return changes ? Errno::kPerm : Errno::kNoData;
  return Errno::kOpNotSupp;
}

template <By kBy>
ErrnoOr<Path> XattrTarget(Task& task, const Caller& caller, const SyscallArgs& args) {
  if constexpr (kBy == By::kFd) return PathOfFd(task, args.Int(0));
  return PathAt(task, caller, AT_FDCWD, args.Addr(0), kBy == By::kLink ? AT_SYMLINK_NOFOLLOW : 0);
}

ErrnoOr<std::string> CopyInXattrName(Task& task, uint64_t addr) {
  const std::string name = TRY(usermem::CopyInString(task.space(), addr, XATTR_NAME_MAX + 1, Errno::kRange));
  if (name.empty()) return Errno::kRange;
  return name;
}

template <By kBy>
ErrnoOrVoid Setxattr(Task& task, const SyscallArgs& args) {
  if (args.Int(4) & ~(XATTR_CREATE | XATTR_REPLACE)) return Errno::kInval;
  const std::string name = TRY(CopyInXattrName(task, args.Addr(1)));
  if (args.Size(3) > XATTR_SIZE_MAX) return Errno::k2Big;
  std::string value(args.Size(3), '\0');
  TRY_VOID(usermem::CopyInBytes(task.space(), args.Addr(2), std::as_writable_bytes(std::span(value))));
  if (TRY(IsUnnamed<kBy>(task, args))) return UnnamedError(task, name, true);
  const Caller caller = task.MakeCaller();
  return vfs::SetXattr(caller, TRY(XattrTarget<kBy>(task, caller, args)), name, value, args.Int(4));
}

template <By kBy>
ErrnoOr<size_t> Getxattr(Task& task, const SyscallArgs& args) {
  const std::string name = TRY(CopyInXattrName(task, args.Addr(1)));
  if (TRY(IsUnnamed<kBy>(task, args))) return UnnamedError(task, name, false);
  const Caller caller = task.MakeCaller();
  const std::string value = TRY(vfs::GetXattr(caller, TRY(XattrTarget<kBy>(task, caller, args)), name));
  if (args.Size(3) == 0) return value.size();
  if (value.size() > args.Size(3)) return Errno::kRange;
  TRY_VOID(usermem::CopyOutBytes(task.space(), args.Addr(2), std::as_bytes(std::span(value))));
  return value.size();
}

template <By kBy>
ErrnoOr<size_t> Listxattr(Task& task, const SyscallArgs& args) {
  if (TRY(IsUnnamed<kBy>(task, args))) return size_t{0};
  const Caller caller = task.MakeCaller();
  std::string list;
  for (const std::string& name : TRY(vfs::ListXattr(caller, TRY(XattrTarget<kBy>(task, caller, args))))) {
    list.append(name).push_back('\0');
  }
  if (args.Size(2) == 0) return list.size();
  if (list.size() > args.Size(2)) return Errno::kRange;
  TRY_VOID(usermem::CopyOutBytes(task.space(), args.Addr(1), std::as_bytes(std::span(list))));
  return list.size();
}

template <By kBy>
ErrnoOrVoid Removexattr(Task& task, const SyscallArgs& args) {
  const std::string name = TRY(CopyInXattrName(task, args.Addr(1)));
  if (TRY(IsUnnamed<kBy>(task, args))) return UnnamedError(task, name, true);
  const Caller caller = task.MakeCaller();
  return vfs::RemoveXattr(caller, TRY(XattrTarget<kBy>(task, caller, args)), name);
}

constexpr Entry kEntries[] = {
    {SYS_stat, Plain<Stat>},
    {SYS_lstat, Plain<Lstat>},
    {SYS_fstat, Plain<Fstat>},
    {SYS_newfstatat, Plain<Newfstatat>},
    {SYS_statx, Plain<Statx>},
    {SYS_access, Plain<Access>},
    {SYS_faccessat, Plain<Faccessat>},
    {SYS_faccessat2, Plain<Faccessat2>},
    {SYS_chmod, Plain<Chmod>},
    {SYS_fchmod, Plain<Fchmod>},
    {SYS_fchmodat, Plain<Fchmodat>},
    {452, Plain<Fchmodat2>},
    {SYS_chown, Plain<Chown>},
    {SYS_lchown, Plain<Lchown>},
    {SYS_fchown, Plain<Fchown>},
    {SYS_fchownat, Plain<Fchownat>},
    {SYS_utimensat, Plain<Utimensat>},
    {SYS_utimes, Plain<Utimes>},
    {SYS_futimesat, Plain<Futimesat>},
    {SYS_utime, Plain<Utime>},
    {SYS_truncate, Plain<Truncate>},
    {SYS_ftruncate, Plain<Ftruncate>},
    {SYS_fallocate, Plain<Fallocate>},
    {SYS_statfs, Plain<Statfs>},
    {SYS_fstatfs, Plain<Fstatfs>},
    {SYS_setxattr, Plain<Setxattr<By::kPath>>},
    {SYS_lsetxattr, Plain<Setxattr<By::kLink>>},
    {SYS_fsetxattr, Plain<Setxattr<By::kFd>>},
    {SYS_getxattr, Plain<Getxattr<By::kPath>>},
    {SYS_lgetxattr, Plain<Getxattr<By::kLink>>},
    {SYS_fgetxattr, Plain<Getxattr<By::kFd>>},
    {SYS_listxattr, Plain<Listxattr<By::kPath>>},
    {SYS_llistxattr, Plain<Listxattr<By::kLink>>},
    {SYS_flistxattr, Plain<Listxattr<By::kFd>>},
    {SYS_removexattr, Plain<Removexattr<By::kPath>>},
    {SYS_lremovexattr, Plain<Removexattr<By::kLink>>},
    {SYS_fremovexattr, Plain<Removexattr<By::kFd>>},
};

}  // namespace

std::span<const Entry> AttributeSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
