#include "sentry/fs/host/host_file.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace cloister::hostfs {
namespace {

using Kind = HostDescriptor::Kind;
using usermem::UserPtr;
using vfs::IoctlRequest;
using vfs::UserBuffer;

// Gets a T from the host and gives it to the guest.
template <typename T>
ErrnoOr<int64_t> GetThrough(int fd, const IoctlRequest& request) {
  T value = {};
  if (ioctl(fd, request.command, &value) != 0) return FromHostErrno(errno);
  TRY_VOID(usermem::CopyOut(request.space, UserPtr<T>(request.arg), value));
  return 0;
}

template <typename T>
ErrnoOr<int64_t> SetThrough(int fd, uint32_t command, const IoctlRequest& request) {
  const T value = TRY(usermem::CopyIn(request.space, UserPtr<const T>(request.arg)));
  if (ioctl(fd, command, &value) != 0) return FromHostErrno(errno);
  return 0;
}

// A terminal that others outside share: modes pass through, job control and TIOCSTI do not.
ErrnoOr<int64_t> TtyIoctl(int fd, const IoctlRequest& request) {
  switch (request.command) {
    case TCGETS:
      return GetThrough<struct termios>(fd, request);
    case TIOCGWINSZ:
      return GetThrough<struct winsize>(fd, request);
    case TIOCOUTQ:
      return GetThrough<int>(fd, request);
    case TCSETS:
    case TCSETSW:  // waiting for the output to drain would block: the host's tty drains by itself
      return SetThrough<struct termios>(fd, TCSETS, request);
    case TCSETSF:
      if (ioctl(fd, TCFLSH, TCIFLUSH) != 0) return FromHostErrno(errno);
      return SetThrough<struct termios>(fd, TCSETS, request);
    case TCFLSH:
      if (request.arg > TCIOFLUSH) return Errno::kInval;
      if (ioctl(fd, TCFLSH, static_cast<int>(request.arg)) != 0) return FromHostErrno(errno);
      return 0;
    default:
      return Errno::kNotTy;
  }
}

}  // namespace

HostStream::HostStream(int flags, vfs::Path path, auth::CredRef cred, Ref<HostInode> inode)
    : FileDescription(flags, std::move(path), std::move(cred)), inode_(std::move(inode)) {}

ErrnoOr<size_t> HostStream::Read(UserBuffer& dst) {
  if (descriptor().kind() == Kind::kNull) return 0;
  return dst.FillFrom([this](std::span<std::byte> space) { return descriptor().Read(space); });
}

ErrnoOr<size_t> HostStream::Write(UserBuffer& src) {
  if (descriptor().kind() == Kind::kNull) {
    const size_t size = src.size();
    src.Skip(size);
    return size;
  }
  return src.DrainTo([this](std::span<const std::byte> bytes) { return descriptor().Write(bytes); });
}

ErrnoOr<int64_t> HostStream::Ioctl(const IoctlRequest& request) {
  if (descriptor().kind() == Kind::kNull) return Errno::kNotTy;
  if (request.command == FIONREAD) return GetThrough<int>(descriptor().fd(), request);
  if (descriptor().kind() != Kind::kTty) return Errno::kNotTy;
  return TtyIoctl(descriptor().fd(), request);
}

HostRegularFile::HostRegularFile(int flags, vfs::Path path, auth::CredRef cred, Ref<HostInode> inode)
    : FileDescription(flags, std::move(path), std::move(cred)), inode_(std::move(inode)) {}

ErrnoOr<size_t> HostRegularFile::ReadAt(UserBuffer& dst, int64_t offset) {
  int64_t at = offset;
  return dst.FillFrom([&](std::span<std::byte> space) -> ErrnoOr<size_t> {
    const size_t got = TRY(descriptor().ReadAt(space, at));
    if (at >= 0) at += static_cast<int64_t>(got);
    return got;
  });
}

ErrnoOr<size_t> HostRegularFile::Put(UserBuffer& src, int64_t offset, bool append) {
  int64_t at = offset;
  return src.DrainTo([&](std::span<const std::byte> bytes) -> ErrnoOr<size_t> {
    const size_t put = TRY(descriptor().WriteAt(bytes, at, append));
    if (at >= 0) at += static_cast<int64_t>(put);
    return put;
  });
}

ErrnoOr<size_t> HostRegularFile::Write(UserBuffer& src) { return Put(src, -1, (flags() & O_APPEND) != 0); }

ErrnoOr<size_t> HostRegularFile::WriteAt(UserBuffer& src, int64_t offset) { return Put(src, offset, false); }

ErrnoOr<size_t> HostRegularFile::Append(UserBuffer& src, int64_t* end) {
  const size_t put = TRY(Put(src, 0, true));
  *end = TRY(descriptor().Stat()).st_size;
  return put;
}

ErrnoOr<int64_t> HostRegularFile::Seek(int64_t offset, int whence) {
  const off_t position = lseek(descriptor().fd(), offset, whence);
  if (position < 0) return FromHostErrno(errno);
  return position;
}

ErrnoOrVoid HostRegularFile::Sync(bool data_only) {
  const int result = data_only ? fdatasync(descriptor().fd()) : fsync(descriptor().fd());
  if (result != 0) return FromHostErrno(errno);
  return {};
}

ErrnoOr<mm::Mappable::Backing> HostRegularFile::BackingFor(uint64_t offset, uint64_t, bool shared,
                                                           bool writable) {
  if (!descriptor().readable()) return Errno::kAcces;
  if (shared && writable && !descriptor().writable()) return Errno::kAcces;
  return Backing{descriptor().fd(), offset};
}

Ref<vfs::FileDescription> MakeDescription(int flags, vfs::Path path, auth::CredRef cred,
                                          Ref<HostInode> inode) {
  if (inode->descriptor().kind() == Kind::kRegular) {
    return MakeRef<HostRegularFile>(flags, std::move(path), std::move(cred), std::move(inode));
  }
  return MakeRef<HostStream>(flags, std::move(path), std::move(cred), std::move(inode));
}

ErrnoOr<Ref<vfs::FileDescription>> ImportHostFile(UniqueFd fd, uid_t uid, gid_t gid, auth::CredRef cred) {
  Ref<HostDescriptor> descriptor = TRY(HostDescriptor::Make(std::move(fd)));
  const struct stat st = TRY(descriptor->Stat());
  const int flags = descriptor->flags();
  auto inode = MakeRef<HostInode>(std::move(descriptor), st, uid, gid);
  return MakeDescription(flags, vfs::Path(), std::move(cred), std::move(inode));
}

}  // namespace cloister::hostfs
