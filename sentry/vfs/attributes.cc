#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"
#include "sentry/vfs/permission.h"

namespace cloister::vfs {
namespace {

#ifndef STATX_ATTR_MOUNT_ROOT
constexpr uint64_t STATX_ATTR_MOUNT_ROOT = 0x2000;
#endif

Inode& InodeOf(const Path& path) { return *path.dentry()->inode(); }

bool ValidTime(const timespec& time) {
  return time.tv_nsec == UTIME_NOW || time.tv_nsec == UTIME_OMIT ||
         (time.tv_nsec >= 0 && time.tv_nsec < 1'000'000'000);
}

std::optional<AttrChange::Time> ToChange(const timespec& time) {
  if (time.tv_nsec == UTIME_OMIT) return std::nullopt;
  return AttrChange::Time{time.tv_nsec == UTIME_NOW, time};
}

// RLIMIT_FSIZE stops growth alone. Linux: inode_newsize_ok.
ErrnoOrVoid CheckSize(const Caller& caller, Inode& inode, uint64_t size) {
  if (size <= caller.max_file_size || size <= TRY(inode.GetAttr()).stx_size) return {};
  return Errno::kFBig;
}

ErrnoOrVoid SetAndTell(const Path& path, const AttrChange& change) {
  TRY_VOID(InodeOf(path).SetAttr(change));
  FileEvents::TellPath(path, IN_ATTRIB);
  return {};
}

// The change of size and of the set-id bits that goes with it.
ErrnoOrVoid SetSize(const Caller& caller, Inode& inode, uint64_t size) {
  AttrChange change{.size = size};
  const Ownership owner = TRY(inode.GetOwnership());
  const mode_t mode = WithoutSetId(*caller.cred, owner);
  if (mode != owner.mode && !caller.cred->Has(CAP_FSETID)) change.mode = mode & 07777;
  return inode.SetAttr(change);
}

}  // namespace

ErrnoOr<std::string> Readlink(const Caller& caller, const Path& link) {
  SymlinkInode* const symlink = InodeOf(link).AsSymlink();
  if (symlink == nullptr) return Errno::kInval;
  return symlink->Readlink(caller);
}

ErrnoOr<struct statx> Stat(const Path& path) {
  struct statx attr = TRY(InodeOf(path).GetAttr());
  if (path.mount() && path.dentry() == path.mount()->root()) {
    attr.stx_attributes |= STATX_ATTR_MOUNT_ROOT;
    attr.stx_attributes_mask |= STATX_ATTR_MOUNT_ROOT;
  }
  return attr;
}

ErrnoOr<struct statfs> StatFs(const Path& path) {
  struct statfs result = TRY(InodeOf(path).fs().StatFs());
  if (!path.mount()) return result;
  constexpr long kValid = 0x20;  // ST_VALID
  constexpr uint64_t kShown = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME;
  // statfs(2)'s ST_… bits are mount(2)'s for the lowest four and these two.
  result.f_flags = kValid | static_cast<long>(path.mount()->flags() & kShown);
  if (path.mount()->read_only()) result.f_flags |= MS_RDONLY;
  constexpr long kRelatime = 0x1000;  // ST_RELATIME
  if ((path.mount()->flags() & (MS_NOATIME | MS_STRICTATIME)) == 0) result.f_flags |= kRelatime;
  return result;
}

ErrnoOrVoid Access(const Caller& caller, const Path& path, int mask) {
  Inode& inode = InodeOf(path);
  const mode_t type = inode.type();
  if ((mask & X_OK) != 0 && type == S_IFREG && (path.mount()->flags() & MS_NOEXEC) != 0) return Errno::kAcces;
  if (mask == F_OK) return {};
  TRY_VOID(CheckInode(*caller.cred, inode, mask));
  if ((mask & W_OK) != 0 && (type == S_IFREG || type == S_IFDIR || type == S_IFLNK)) {
    return CheckWritable(*path.mount());
  }
  return {};
}

ErrnoOrVoid ChangeMode(const Caller& caller, const Path& path, mode_t mode) {
  Inode& inode = InodeOf(path);
  if (path.mount()) TRY_VOID(CheckWritable(*path.mount()));
  if (inode.is_symlink()) return Errno::kOpNotSupp;
  const Ownership owner = TRY(inode.GetOwnership());
  if (!IsOwnerOrCapable(*caller.cred, owner)) return Errno::kPerm;
  mode &= 07777;
  if ((mode & S_ISGID) != 0 && !MayKeepSetGid(*caller.cred, owner.gid)) mode &= ~S_ISGID;
  return SetAndTell(path, {.mode = mode});
}

ErrnoOrVoid ChangeOwner(const Caller& caller, const Path& path, uid_t uid, gid_t gid) {
  Inode& inode = InodeOf(path);
  if (path.mount()) TRY_VOID(CheckWritable(*path.mount()));
  const auth::Credentials& cred = *caller.cred;
  const Ownership owner = TRY(inode.GetOwnership());
  const bool capable = cred.Has(CAP_CHOWN);
  const bool is_owner = cred.fsuid == owner.uid;
  AttrChange change;
  if (uid != static_cast<uid_t>(-1)) {
    if (!capable && !(is_owner && uid == owner.uid)) return Errno::kPerm;
    change.uid = uid;
  }
  if (gid != static_cast<gid_t>(-1)) {
    if (!capable && !(is_owner && (gid == owner.gid || cred.InGroup(gid)))) return Errno::kPerm;
    change.gid = gid;
  }
  // The set-id bits go whoever asks, root too.
  const mode_t mode = WithoutSetId(cred, owner);
  if (!inode.is_directory() && mode != owner.mode) change.mode = mode & 07777;
  return SetAndTell(path, change);
}

ErrnoOrVoid ChangeTimes(const Caller& caller, const Path& path, const timespec* times) {
  Inode& inode = InodeOf(path);
  if (times != nullptr && (!ValidTime(times[0]) || !ValidTime(times[1]))) return Errno::kInval;
  if (times != nullptr && times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT) return {};
  if (path.mount()) TRY_VOID(CheckWritable(*path.mount()));
  const Ownership owner = TRY(inode.GetOwnership());
  if (times == nullptr || (times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW)) {
    if (!IsOwnerOrCapable(*caller.cred, owner)) TRY_VOID(CheckPermission(*caller.cred, owner, W_OK));
    return SetAndTell(path, {.atime = AttrChange::Time{true, {}}, .mtime = AttrChange::Time{true, {}}});
  }
  if (!IsOwnerOrCapable(*caller.cred, owner)) return Errno::kPerm;
  return SetAndTell(path, {.atime = ToChange(times[0]), .mtime = ToChange(times[1])});
}

ErrnoOrVoid Truncate(const Caller& caller, const Path& path, uint64_t size) {
  Inode& inode = InodeOf(path);
  if (inode.is_directory()) return Errno::kIsDir;
  if (inode.type() != S_IFREG) return Errno::kInval;
  TRY_VOID(CheckInode(*caller.cred, inode, W_OK));
  TRY_VOID(CheckWritable(*path.mount()));
  TRY_VOID(CheckSize(caller, inode, size));
  TRY_VOID(inode.TakeWriteAccess());
  const ErrnoOrVoid done = SetSize(caller, inode, size);
  inode.GiveBackWriteAccess();
  TRY_VOID(done);
  FileEvents::TellPath(path, IN_MODIFY);
  return {};
}

ErrnoOrVoid TruncateFile(const Caller& caller, FileDescription& file, uint64_t size) {
  if (!file.writable()) return Errno::kInval;
  const Ref<Inode> inode = file.inode();
  if (!inode || inode->type() != S_IFREG) return Errno::kInval;
  TRY_VOID(CheckSize(caller, *inode, size));
  TRY_VOID(SetSize(caller, *inode, size));
  if (file.path()) FileEvents::TellPath(file.path(), IN_MODIFY);
  return {};
}

ErrnoOrVoid Allocate(const Caller& caller, FileDescription& file, int mode, uint64_t offset,
                     uint64_t length) {
  if (!file.writable()) return Errno::kBadf;
  const Ref<Inode> inode = file.inode();
  if (inode && inode->type() == S_IFREG && (mode & (FALLOC_FL_KEEP_SIZE | FALLOC_FL_COLLAPSE_RANGE)) == 0) {
    TRY_VOID(CheckSize(caller, *inode, offset + length));
  }
  TRY_VOID(ClearSetIdForWrite(caller, file));
  TRY_VOID(file.Allocate(mode, offset, length));
  if (file.path()) FileEvents::TellPath(file.path(), IN_MODIFY);
  return {};
}

ErrnoOrVoid ClearSetIdForWrite(const Caller& caller, FileDescription& file) {
  if (caller.cred->Has(CAP_FSETID)) return {};
  const Ref<Inode> inode = file.inode();
  if (!inode || inode->type() != S_IFREG) return {};
  const Ownership owner = TRY(inode->GetOwnership());
  const mode_t mode = WithoutSetId(*caller.cred, owner);
  if (mode == owner.mode) return {};
  return inode->SetAttr({.mode = mode & 07777});
}

}  // namespace cloister::vfs
