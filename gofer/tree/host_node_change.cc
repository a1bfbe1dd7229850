// The changes that a HostNode makes: new files, links, renames, attributes.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>

#include "gofer/protocol/limits.h"
#include "gofer/tree/creator.h"
#include "gofer/tree/fd_path.h"
#include "gofer/tree/host_calls.h"
#include "gofer/tree/host_node.h"
#include "gofer/tree/name.h"

namespace cloister::gofer {
namespace {

constexpr int kCreateFlags = O_ACCMODE | O_APPEND | O_DIRECT | O_NOATIME | O_DSYNC | O_SYNC;
constexpr uid_t kUnchanged = static_cast<uid_t>(-1);

ErrnoOrVoid CheckCreate(int flags, const NewOwner& owner) {
  if ((flags & ~kCreateFlags) != 0 || (flags & O_ACCMODE) == O_ACCMODE) return Errno::kInval;
  if ((owner.mode & ~kPermissionBits) != 0) return Errno::kInval;
  return {};
}

bool IsTime(const timespec& time) {
  return time.tv_nsec == UTIME_NOW || time.tv_nsec == UTIME_OMIT ||
         (time.tv_nsec >= 0 && time.tv_nsec < 1'000'000'000);
}

}  // namespace

ErrnoOr<HostNode::Created> HostNode::WrapOpened(UniqueFd fd) const {
  // From the open file and not from the name, which may lead elsewhere by now.
  Created created;
  created.found = TRY(Wrap(TRY(Reopen(fd.get(), O_PATH))));
  created.fd = std::move(fd);
  return created;
}

ErrnoOr<HostNode::Created> HostNode::Create(const std::string& name, int flags, const NewOwner& owner) const {
  TRY_VOID(CheckChange(name));
  TRY_VOID(CheckCreate(flags, owner));
  const Creator creator = TRY(Creator::As(owner.uid, owner.gid));
  return WrapOpened(
      TRY(OpenBeneath(fd_.get(), name.c_str(), flags | O_CREAT | O_EXCL | O_NOCTTY, owner.mode)));
}

ErrnoOr<HostNode::Created> HostNode::CreateUnnamed(int flags, const NewOwner& owner) const {
  if (origin_.readonly) return Errno::kRofs;
  TRY_VOID(CheckDirectory());
  TRY_VOID(CheckCreate(flags, owner));
  if ((flags & O_ACCMODE) == O_RDONLY) return Errno::kInval;
  const Creator creator = TRY(Creator::As(owner.uid, owner.gid));
  return WrapOpened(TRY(OpenBeneath(fd_.get(), ".", flags | O_TMPFILE, owner.mode)));
}

ErrnoOr<HostNode::Found> HostNode::Mkdir(const std::string& name, const NewOwner& owner) const {
  TRY_VOID(CheckChange(name));
  if ((owner.mode & ~kPermissionBits) != 0) return Errno::kInval;
  const Creator creator = TRY(Creator::As(owner.uid, owner.gid));
  if (mkdirat(fd_.get(), name.c_str(), owner.mode) < 0) return HostErrno();
  Found found = TRY(Lookup(name));
  // mkdir(2) takes only 01777 of the mode; a set-group-ID parent hands its bit down, which stays.
  const mode_t wanted = owner.mode & (S_ISUID | S_ISGID);
  if ((found.attr.stx_mode & wanted) != wanted && found.node->is_directory()) {
    TRY_VOID(found.node->SetAttr({.mode = (found.attr.stx_mode & kPermissionBits) | wanted}));
    found.attr = TRY(found.node->GetAttr());
  }
  return found;
}

ErrnoOr<HostNode::Found> HostNode::Symlink(const std::string& name, const std::string& target,
                                           const NewOwner& owner) const {
  TRY_VOID(CheckChange(name));
  TRY_VOID(CheckTarget(target));
  const Creator creator = TRY(Creator::As(owner.uid, owner.gid));
  if (symlinkat(target.c_str(), fd_.get(), name.c_str()) < 0) return HostErrno();
  return Lookup(name);
}

ErrnoOr<HostNode::Found> HostNode::Mknod(const std::string& name, mode_t type, dev_t rdev,
                                         const NewOwner& owner) const {
  TRY_VOID(CheckChange(name));
  if ((owner.mode & ~kPermissionBits) != 0) return Errno::kInval;
  switch (type) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
      rdev = 0;
      break;
    case S_IFCHR:
    case S_IFBLK:
      // Character device 0:0 is overlayfs' mark of a removed file: no device, allowed to all.
      if (!origin_.device_nodes && !(type == S_IFCHR && rdev == 0)) return Errno::kPerm;
      break;
    default:
      return Errno::kInval;
  }
  const Creator creator = TRY(Creator::As(owner.uid, owner.gid));
  if (mknodat(fd_.get(), name.c_str(), type | owner.mode, rdev) < 0) return HostErrno();
  return Lookup(name);
}

ErrnoOr<HostNode::Found> HostNode::Link(const HostNode& target, const std::string& name) const {
  TRY_VOID(CheckChange(name));
  if (target.origin_.readonly) return Errno::kRofs;
  if (target.origin_.index != origin_.index) return Errno::kXDev;
  if (target.is_directory()) return Errno::kPerm;
  if (target.sealed_) return Errno::kXDev;
  if (linkat(AT_FDCWD, FdPath(target.fd_.get()).c_str(), fd_.get(), name.c_str(), AT_SYMLINK_FOLLOW) < 0) {
    return HostErrno();
  }
  return Lookup(name);
}

ErrnoOrVoid HostNode::Unlink(const std::string& name, bool directory) const {
  TRY_VOID(CheckChange(name));
  if (unlinkat(fd_.get(), name.c_str(), directory ? AT_REMOVEDIR : 0) < 0) return HostErrno();
  return {};
}

ErrnoOrVoid HostNode::Rename(const std::string& name, const HostNode& to, const std::string& new_name,
                             uint32_t flags) const {
  TRY_VOID(CheckChange(name));
  TRY_VOID(to.CheckChange(new_name));
  if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE) return Errno::kInval;
  if (to.origin_.index != origin_.index) return Errno::kXDev;
  // Not the C library's: it calls renameat where flags is 0.
  if (syscall(SYS_renameat2, fd_.get(), name.c_str(), to.fd_.get(), new_name.c_str(), flags) < 0) {
    return HostErrno();
  }
  return {};
}

ErrnoOrVoid HostNode::SetAttr(const AttrChange& change) const {
  if (origin_.readonly) return Errno::kRofs;
  if (sealed_) return Errno::kAcces;
  if (change.mode && (*change.mode & ~kPermissionBits) != 0) return Errno::kInval;
  if (!IsTime(change.atime) || !IsTime(change.mtime)) return Errno::kInval;
  if (change.size && *change.size > INT64_MAX) return Errno::kInval;
  const FdPath self(fd_.get());
  // Truncation first: it fails most often, and Linux clears set-id bits with it before a chmod.
  if (change.size) {
    if (type_ == S_IFDIR) return Errno::kIsDir;
    if (type_ != S_IFREG) return Errno::kInval;
    if (truncate(self.c_str(), static_cast<off_t>(*change.size)) < 0) return HostErrno();
  }
  if (change.uid || change.gid) {
    const uid_t uid = change.uid.value_or(kUnchanged);
    const gid_t gid = change.gid.value_or(kUnchanged);
    if (fchownat(fd_.get(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0) return HostErrno();
  }
  if (change.mode) {
    if (type_ == S_IFLNK) return Errno::kOpNotSupp;
    if (fchmodat(AT_FDCWD, self.c_str(), *change.mode, 0) < 0) return HostErrno();
  }
  if (change.atime.tv_nsec != UTIME_OMIT || change.mtime.tv_nsec != UTIME_OMIT) {
    const timespec times[2] = {change.atime, change.mtime};
    if (utimensat(fd_.get(), "", times, AT_EMPTY_PATH) < 0) return HostErrno();
  }
  return {};
}

}  // namespace cloister::gofer
