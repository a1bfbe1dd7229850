#include "gofer/tree/host_node.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "gofer/protocol/limits.h"
#include "gofer/tree/fd_path.h"
#include "gofer/tree/host_calls.h"
#include "gofer/tree/name.h"

namespace cloister::gofer {
namespace {

constexpr int kOpenFlags = O_ACCMODE | O_APPEND | O_TRUNC | O_DIRECT | O_NOATIME | O_DSYNC | O_SYNC;

// Kernel interfaces that look like files. A sentry gone bad must not reach them because the
// container's root is the host's own: /proc/PID/mem of the gofer, /proc/sysrq-trigger, /sys/fs/cgroup.
ErrnoOr<bool> IsKernelInterface(int fd) {
  struct statfs info;
  if (fstatfs(fd, &info) < 0) return HostErrno();
  switch (static_cast<uint64_t>(info.f_type)) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case SELINUX_MAGIC:
    case SMACK_MAGIC:
    case BPF_FS_MAGIC:
    case PSTOREFS_MAGIC:
    case EFIVARFS_MAGIC:
    case BINFMTFS_MAGIC:
    case NSFS_MAGIC:
    case DEVPTS_SUPER_MAGIC:
    case 0x62656570:  // configfs
      return true;
    default:
      return false;
  }
}

}  // namespace

HostNode::HostNode(UniqueFd fd, const struct statx& attr, const AttachOrigin& origin, bool sealed)
    : fd_(std::move(fd)),
      type_(attr.stx_mode & S_IFMT),
      device_(DeviceOf(attr)),
      origin_(origin),
      sealed_(sealed) {}

ErrnoOr<Ref<HostNode>> HostNode::Attach(UniqueFd fd, const AttachOrigin& origin) {
  const struct statx attr = TRY(StatAt(fd.get()));
  AttachOrigin effective = origin;
  struct statfs info;
  if (fstatfs(fd.get(), &info) < 0) return HostErrno();
  // Whoever may write /proc/PID/mem owns the gofer: never, even where a bundle binds /proc writable.
  if (static_cast<uint64_t>(info.f_type) == PROC_SUPER_MAGIC) effective.readonly = true;
  return MakeRef<HostNode>(std::move(fd), attr, effective, /*sealed=*/false);
}

ErrnoOrVoid HostNode::CheckDirectory() const {
  if (type_ != S_IFDIR) return Errno::kNotDir;
  if (sealed_) return Errno::kAcces;
  return {};
}

ErrnoOrVoid HostNode::CheckChange(const std::string& name) const {
  if (origin_.readonly) return Errno::kRofs;
  TRY_VOID(CheckDirectory());
  return CheckName(name);
}

ErrnoOr<HostNode::Found> HostNode::Wrap(UniqueFd fd) const {
  Found found;
  found.attr = TRY(StatAt(fd.get()));
  if (S_ISLNK(found.attr.stx_mode)) found.target = TRY(ReadlinkAt(fd.get()));
  bool sealed = sealed_;
  if (DeviceOf(found.attr) != device_) sealed = TRY(IsKernelInterface(fd.get()));
  found.node = MakeRef<HostNode>(std::move(fd), found.attr, origin_, sealed);
  return found;
}

ErrnoOr<HostNode::Found> HostNode::Lookup(const std::string& name) const {
  TRY_VOID(CheckDirectory());
  TRY_VOID(CheckName(name));
  UniqueFd fd = TRY(OpenBeneath(fd_.get(), name.c_str(), O_PATH));
  return Wrap(std::move(fd));
}

ErrnoOr<struct statx> HostNode::GetAttr() const { return StatAt(fd_.get()); }

ErrnoOr<std::string> HostNode::Readlink() const {
  if (type_ != S_IFLNK) return Errno::kInval;
  return ReadlinkAt(fd_.get());
}

ErrnoOr<struct statfs> HostNode::StatFs() const {
  struct statfs info;
  if (fstatfs(fd_.get(), &info) < 0) return HostErrno();
  return info;
}

ErrnoOrVoid HostNode::FsyncDir() const {
  TRY_VOID(CheckDirectory());
  const UniqueFd fd = TRY(OpenBeneath(fd_.get(), ".", O_RDONLY | O_DIRECTORY));
  if (fsync(fd.get()) < 0) return HostErrno();
  return {};
}

ErrnoOr<UniqueFd> HostNode::Open(int flags) const {
  if ((flags & ~kOpenFlags) != 0 || (flags & O_ACCMODE) == O_ACCMODE) return Errno::kInval;
  if (origin_.readonly && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0)) return Errno::kRofs;
  if (type_ == S_IFDIR) return Errno::kIsDir;
  if (type_ == S_IFLNK) return Errno::kLoop;
  if (type_ != S_IFREG) return Errno::kNxIo;
  if (sealed_) return Errno::kAcces;
  return Reopen(fd_.get(), flags | O_NOCTTY);
}

ErrnoOr<std::string> HostNode::GetXattr(const std::string& name) const {
  TRY_VOID(CheckXattrName(name));
  std::string value(kMaxXattrValueBytes, '\0');
  const ssize_t length = getxattr(FdPath(fd_.get()).c_str(), name.c_str(), value.data(), value.size());
  if (length < 0) return HostErrno();
  value.resize(static_cast<size_t>(length));
  return value;
}

ErrnoOr<std::string> HostNode::ListXattr() const {
  std::string names(kMaxXattrValueBytes, '\0');
  const ssize_t length = listxattr(FdPath(fd_.get()).c_str(), names.data(), names.size());
  if (length < 0) return HostErrno();
  names.resize(static_cast<size_t>(length));
  return names;
}

ErrnoOrVoid HostNode::SetXattr(const std::string& name, const std::string& value, int flags) const {
  if (origin_.readonly) return Errno::kRofs;
  if (sealed_) return Errno::kAcces;
  TRY_VOID(CheckXattrName(name));
  if (value.size() > kMaxXattrValueBytes) return Errno::k2Big;
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) return Errno::kInval;
  if (setxattr(FdPath(fd_.get()).c_str(), name.c_str(), value.data(), value.size(), flags) < 0) {
    return HostErrno();
  }
  return {};
}

ErrnoOrVoid HostNode::RemoveXattr(const std::string& name) const {
  if (origin_.readonly) return Errno::kRofs;
  if (sealed_) return Errno::kAcces;
  TRY_VOID(CheckXattrName(name));
  if (removexattr(FdPath(fd_.get()).c_str(), name.c_str()) < 0) return HostErrno();
  return {};
}

}  // namespace cloister::gofer
