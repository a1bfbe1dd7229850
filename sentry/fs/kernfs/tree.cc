#include "sentry/fs/kernfs/tree.h"

#include <sys/sysmacros.h>
#include <time.h>

namespace cloister::kernfs {
namespace {

timespec Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

statx_timestamp Timestamp(const timespec& time) {
  return {.tv_sec = time.tv_sec, .tv_nsec = static_cast<uint32_t>(time.tv_nsec)};
}

}  // namespace

ErrnoOr<struct statfs> Tree::StatFs() {
  struct statfs result = {};
  result.f_type = magic_;
  result.f_bsize = 4096;
  result.f_frsize = 4096;
  result.f_namelen = 255;
  return result;
}

NodeAttr::NodeAttr(Tree& tree, mode_t type, const NodeSpec& spec)
    : inode_(spec.inode != 0 ? spec.inode : tree.NextInode()),
      device_(tree.device()),
      rdev_(spec.rdev),
      links_(spec.links),
      changeable_(spec.changeable),
      owner_{type | spec.mode, spec.uid, spec.gid},
      atime_(Now()),
      mtime_(atime_),
      ctime_(atime_) {}

struct statx NodeAttr::Get() const {
  struct statx attr = {};
  attr.stx_mask = STATX_BASIC_STATS;
  attr.stx_blksize = 4096;
  attr.stx_nlink = links_;
  attr.stx_ino = inode_;
  attr.stx_dev_major = major(device_);
  attr.stx_dev_minor = minor(device_);
  attr.stx_rdev_major = major(rdev_);
  attr.stx_rdev_minor = minor(rdev_);
  absl::MutexLock lock(&mu_);
  attr.stx_mode = static_cast<uint16_t>(owner_.mode);
  attr.stx_uid = owner_.uid;
  attr.stx_gid = owner_.gid;
  attr.stx_atime = Timestamp(atime_);
  attr.stx_mtime = Timestamp(mtime_);
  attr.stx_ctime = Timestamp(ctime_);
  return attr;
}

vfs::Ownership NodeAttr::GetOwnership() const {
  absl::MutexLock lock(&mu_);
  return owner_;
}

ErrnoOrVoid NodeAttr::Set(const vfs::AttrChange& change) {
  const bool changes = change.mode || change.uid || change.gid || change.atime || change.mtime;
  if (!changes) return {};
  if (!changeable_) return Errno::kPerm;
  absl::MutexLock lock(&mu_);
  ctime_ = Now();
  if (change.mode) owner_.mode = (owner_.mode & S_IFMT) | (*change.mode & 07777);
  if (change.uid) owner_.uid = *change.uid;
  if (change.gid) owner_.gid = *change.gid;
  if (change.atime) atime_ = change.atime->now ? ctime_ : change.atime->at;
  if (change.mtime) mtime_ = change.mtime->now ? ctime_ : change.mtime->at;
  return {};
}

void NodeAttr::SetMtimeNow() {
  absl::MutexLock lock(&mu_);
  mtime_ = ctime_ = Now();
}

}  // namespace cloister::kernfs
