#include "sentry/fs/tmp/node_state.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "sentry/fs/tmp/tmp_directory.h"
#include "sentry/fs/tmp/tmp_file.h"
#include "sentry/fs/tmp/tmp_special.h"

namespace cloister::tmp {
namespace {

constexpr time_t kRelatimeLimit = 24 * 60 * 60;
constexpr size_t kMaxXattrBytes = 128 << 10;  // names and values of one inode
constexpr size_t kXattrOverhead = 64;

// What Linux stamps inodes with: current_time.
timespec Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now;
}

bool NotAfter(const timespec& a, const timespec& b) {
  return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec <= b.tv_nsec);
}

statx_timestamp ToStatx(const timespec& time) {
  statx_timestamp result = {};
  result.tv_sec = time.tv_sec;
  result.tv_nsec = static_cast<uint32_t>(time.tv_nsec);
  return result;
}

}  // namespace

NodeState::NodeState(Ref<TmpFs> fs, const vfs::NewNode& node, uint32_t links)
    : fs_(std::move(fs)),
      number_(fs_->NextInodeNumber()),
      rdev_(node.rdev),
      owner_{node.mode, node.uid, node.gid},
      links_(links) {
  atime_ = mtime_ = ctime_ = btime_ = Now();
}

NodeState::~NodeState() {
  fs_->GiveInodeSpace(xattr_bytes_);
  fs_->GiveInode();
}

struct statx NodeState::Attr() const {
  struct statx attr = {};
  attr.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
  attr.stx_blksize = kPageSize;
  attr.stx_ino = number_;
  attr.stx_rdev_major = major(rdev_);
  attr.stx_rdev_minor = minor(rdev_);
  attr.stx_dev_major = major(fs_->device());
  attr.stx_dev_minor = minor(fs_->device());
  absl::MutexLock lock(&mu_);
  attr.stx_nlink = links_;
  attr.stx_mode = static_cast<uint16_t>(owner_.mode);
  attr.stx_uid = owner_.uid;
  attr.stx_gid = owner_.gid;
  attr.stx_atime = ToStatx(atime_);
  attr.stx_mtime = ToStatx(mtime_);
  attr.stx_ctime = ToStatx(ctime_);
  attr.stx_btime = ToStatx(btime_);
  return attr;
}

vfs::Ownership NodeState::owner() const {
  absl::MutexLock lock(&mu_);
  return owner_;
}

void NodeState::Change(const vfs::AttrChange& change) {
  const timespec now = Now();
  absl::MutexLock lock(&mu_);
  if (change.mode) owner_.mode = (owner_.mode & S_IFMT) | (*change.mode & 07777);
  if (change.uid) owner_.uid = *change.uid;
  if (change.gid) owner_.gid = *change.gid;
  if (change.atime) atime_ = change.atime->now ? now : change.atime->at;
  if (change.mtime) mtime_ = change.mtime->now ? now : change.mtime->at;
  ctime_ = now;
}

void NodeState::Touch(unsigned times) {
  const timespec now = Now();
  absl::MutexLock lock(&mu_);
  if ((times & kAccess) != 0) atime_ = now;
  if ((times & kModify) != 0) mtime_ = now;
  if ((times & kChange) != 0) ctime_ = now;
}

void NodeState::TouchByReading(bool strict) {
  const timespec now = Now();
  absl::MutexLock lock(&mu_);
  if (strict || NotAfter(atime_, mtime_) || NotAfter(atime_, ctime_) ||
      now.tv_sec - atime_.tv_sec >= kRelatimeLimit) {
    atime_ = now;
  }
}

uint32_t NodeState::links() const {
  absl::MutexLock lock(&mu_);
  return links_;
}

void NodeState::AddLinks(int difference) {
  const timespec now = Now();
  absl::MutexLock lock(&mu_);
  links_ += static_cast<uint32_t>(difference);
  ctime_ = now;
}

ErrnoOrVoid NodeState::Link() {
  const timespec now = Now();
  absl::MutexLock lock(&mu_);
  if (links_ == 0 && !first_link_allowed_) return Errno::kNoEnt;
  first_link_allowed_ = false;
  ++links_;
  ctime_ = now;
  return {};
}

void NodeState::AllowFirstLink(bool allow) {
  absl::MutexLock lock(&mu_);
  first_link_allowed_ = allow;
}

ErrnoOr<std::string> NodeState::GetXattr(const std::string& name) const {
  absl::MutexLock lock(&mu_);
  const auto found = xattrs_.find(name);
  if (found == xattrs_.end()) return Errno::kNoData;
  return found->second;
}

ErrnoOrVoid NodeState::SetXattr(const std::string& name, std::string_view value, int flags) {
  absl::MutexLock lock(&mu_);
  const auto found = xattrs_.find(name);
  const bool there = found != xattrs_.end();
  if (there && (flags & XATTR_CREATE) != 0) return Errno::kExist;
  if (!there && (flags & XATTR_REPLACE) != 0) return Errno::kNoData;
  const size_t before = there ? name.size() + found->second.size() + kXattrOverhead : 0;
  const size_t after = name.size() + value.size() + kXattrOverhead;
  if (xattr_bytes_ - before + after > kMaxXattrBytes) return Errno::kNoSpc;
  if (after > before && !fs_->TakeInodeSpace(after - before)) return Errno::kNoSpc;
  if (after < before) fs_->GiveInodeSpace(before - after);
  xattr_bytes_ += after - before;
  xattrs_[name] = value;
  ctime_ = Now();
  return {};
}

ErrnoOrVoid NodeState::RemoveXattr(const std::string& name) {
  absl::MutexLock lock(&mu_);
  const auto found = xattrs_.find(name);
  if (found == xattrs_.end()) return Errno::kNoData;
  const size_t freed = name.size() + found->second.size() + kXattrOverhead;
  xattr_bytes_ -= freed;
  fs_->GiveInodeSpace(freed);
  xattrs_.erase(found);
  ctime_ = Now();
  return {};
}

std::vector<std::string> NodeState::ListXattr() const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> names;
  for (const auto& [name, value] : xattrs_) names.push_back(name);
  return names;
}

NodeState& StateOf(vfs::Inode& inode) {
  switch (inode.type()) {
    case S_IFREG:
      return static_cast<TmpFile&>(inode).state();
    case S_IFDIR:
      return static_cast<TmpDirectory&>(inode).state();
    case S_IFLNK:
      return static_cast<TmpSymlink&>(inode).state();
    default:
      return static_cast<TmpSpecial&>(inode).state();
  }
}

}  // namespace cloister::tmp
