#include "sentry/fs/host/host_inode.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "sentry/fs/host/host_file.h"
#include "sentry/vfs/anon/anon_inode.h"

namespace cloister::hostfs {
namespace {

using Kind = HostDescriptor::Kind;

Ref<vfs::FileSystem> FileSystemFor(Kind kind) {
  switch (kind) {
    case Kind::kPipe:
      return vfs::AnonFileSystem(vfs::AnonKind::kPipe);
    case Kind::kSocket:
      return vfs::AnonFileSystem(vfs::AnonKind::kSocket);
    case Kind::kRegular:
    case Kind::kNull:
    case Kind::kTty:
    case Kind::kOther:
      break;
  }
  return vfs::AnonFileSystem(vfs::AnonKind::kAnonInode);
}

statx_timestamp Timestamp(const timespec& time) {
  return {.tv_sec = time.tv_sec, .tv_nsec = static_cast<uint32_t>(time.tv_nsec)};
}

}  // namespace

HostInode::HostInode(Ref<HostDescriptor> descriptor, const struct stat& st, uid_t uid, gid_t gid)
    : Inode(FileSystemFor(descriptor->kind()), st.st_mode & S_IFMT),
      descriptor_(std::move(descriptor)),
      number_(vfs::NextAnonInodeNumber()),
      rdev_(st.st_rdev),
      owner_{st.st_mode, uid, gid} {}

std::string HostInode::Name() const {
  switch (descriptor_->kind()) {
    case Kind::kPipe:
      return absl::StrCat("pipe:[", number_, "]");
    case Kind::kSocket:
      return absl::StrCat("socket:[", number_, "]");
    case Kind::kNull:
      return "/dev/null";
    case Kind::kTty:
      return "/dev/tty";
    case Kind::kRegular:
    case Kind::kOther:
      break;
  }
  return absl::StrCat("anon_inode:[host:", number_, "]");
}

ErrnoOr<struct statx> HostInode::GetAttr() {
  const struct stat st = TRY(descriptor_->Stat());
  struct statx attr = {};
  attr.stx_mask = STATX_BASIC_STATS;
  attr.stx_blksize = 4096;
  attr.stx_nlink = 1;
  attr.stx_ino = number_;
  attr.stx_dev_major = major(fs().device());
  attr.stx_dev_minor = minor(fs().device());
  attr.stx_rdev_major = major(rdev_);
  attr.stx_rdev_minor = minor(rdev_);
  if (type() == S_IFREG) {
    attr.stx_size = static_cast<uint64_t>(st.st_size);
    attr.stx_blocks = static_cast<uint64_t>(st.st_blocks);
  }
  attr.stx_atime = Timestamp(st.st_atim);
  attr.stx_mtime = Timestamp(st.st_mtim);
  attr.stx_ctime = Timestamp(st.st_ctim);
  absl::MutexLock lock(&mu_);
  attr.stx_mode = static_cast<uint16_t>(owner_.mode);
  attr.stx_uid = owner_.uid;
  attr.stx_gid = owner_.gid;
  return attr;
}

ErrnoOr<vfs::Ownership> HostInode::GetOwnership() {
  absl::MutexLock lock(&mu_);
  return owner_;
}

ErrnoOrVoid HostInode::SetAttr(const vfs::AttrChange& change) {
  if (change.size) {
    if (type() != S_IFREG || !descriptor_->writable()) return Errno::kInval;
    if (ftruncate(descriptor_->fd(), static_cast<off_t>(*change.size)) != 0) return FromHostErrno(errno);
  }
  absl::MutexLock lock(&mu_);
  if (change.mode) owner_.mode = type() | (*change.mode & 07777);
  if (change.uid) owner_.uid = *change.uid;
  if (change.gid) owner_.gid = *change.gid;
  return {};
}

ErrnoOr<Ref<vfs::FileDescription>> HostInode::Open(const vfs::OpenRequest& request) {
  if (descriptor_->kind() == Kind::kSocket) return Errno::kNxIo;
  const int access = request.flags & O_ACCMODE;
  const bool reads = access != O_WRONLY, writes = access != O_RDONLY;
  if ((reads && !descriptor_->readable()) || (writes && !descriptor_->writable())) return Errno::kAcces;
  if ((request.flags & O_TRUNC) && type() == S_IFREG && writes) {
    if (ftruncate(descriptor_->fd(), 0) != 0) return FromHostErrno(errno);
  }
  return MakeDescription(request.flags, request.path, request.cred, Ref<HostInode>(this));
}

}  // namespace cloister::hostfs
