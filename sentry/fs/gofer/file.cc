#include "sentry/fs/gofer/file.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "base/host/host_stat.h"
#include "sentry/vfs/dentry.h"
#include "sentry/vfs/mount.h"

namespace cloister::goferfs {
namespace {

using vfs::UserBuffer;

Errno HostErrno() { return FromHostErrno(errno); }

// pwritev2(2) of all bytes, or as much as the host takes.
ErrnoOr<size_t> PutAt(int fd, std::span<const std::byte> bytes, int64_t offset, int flags) {
  const iovec piece = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  ssize_t put;
  do {
    put =
        flags == 0 ? pwrite(fd, bytes.data(), bytes.size(), offset) : pwritev2(fd, &piece, 1, offset, flags);
  } while (put < 0 && errno == EINTR);
  if (put < 0) return HostErrno();
  return static_cast<size_t>(put);
}

}  // namespace

ErrnoOr<Ref<vfs::FileDescription>> GoferFile::Open(const vfs::OpenRequest& request) {
  const bool write = (request.flags & O_ACCMODE) != O_RDONLY || (request.flags & O_TRUNC) != 0;
  Ref<HostFd> host = TRY(remote().Open(write));
  // O_EXCL comes with O_TMPFILE alone.
  if ((request.flags & O_EXCL) != 0) linkable_.store(false, std::memory_order_relaxed);
  if ((request.flags & O_TRUNC) != 0) {
    if (ftruncate(host->get(), 0) < 0) return HostErrno();
    remote().ForgetSize();
    remote().MarkStale();
  }
  return MakeRef<GoferOpenFile>(request, Ref<GoferFile>(this), std::move(host));
}

GoferOpenFile::GoferOpenFile(const vfs::OpenRequest& request, Ref<GoferFile> file, Ref<HostFd> host)
    : SeekableFile(request.flags, request.path, request.cred),
      file_(std::move(file)),
      host_(std::move(host)) {}

GoferOpenFile::~GoferOpenFile() { file_->remote().Close(std::move(host_)); }

ErrnoOr<size_t> GoferOpenFile::ReadAt(UserBuffer& dst, int64_t offset) {
  int64_t at = offset;
  const ErrnoOr<size_t> done = dst.FillFrom([&](std::span<std::byte> space) -> ErrnoOr<size_t> {
    ssize_t got;
    do {
      got = pread(host_->get(), space.data(), space.size(), at);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return HostErrno();
    at += got;
    return static_cast<size_t>(got);
  });
  if (done.ok()) NoteSize(static_cast<uint64_t>(at), *done, dst.empty());
  file_->remote().MarkStale();  // the access time
  return done;
}

// A read of so many bytes has ended at `at`. full: there may be more behind.
void GoferOpenFile::NoteSize(uint64_t at, size_t bytes, bool full) {
  Remote& remote = file_->remote();
  const uint64_t known = remote.known_size();
  if (!full && (bytes > 0 || at < known)) remote.SetKnownSize(at);
  if (full && at > known) remote.ForgetSize();
}

GoferOpenFile::HostRead GoferOpenFile::HostReadAt(size_t size, size_t least, int64_t offset) {
  const auto at = static_cast<uint64_t>(offset);
  uint64_t end = file_->remote().known_size();
  if (end == 0 || (at < end && at + size > end)) {
    const ErrnoOr<uint64_t> now = Size();
    if (!now.ok()) return {};
    end = *now;
    file_->remote().SetKnownSize(end);
  }
  if (at >= end || end - at < least) return {};
  file_->remote().MarkStale();  // the access time
  return {host_->get(), host_->id(), offset, static_cast<size_t>(std::min<uint64_t>(size, end - at))};
}

int GoferOpenFile::SyncFlags() const {
  if ((flags() & O_SYNC) == O_SYNC) return RWF_SYNC;
  return (flags() & O_DSYNC) != 0 ? RWF_DSYNC : 0;
}

ErrnoOr<size_t> GoferOpenFile::WriteAt(UserBuffer& src, int64_t offset) {
  int64_t at = offset;
  const int sync = SyncFlags();
  const ErrnoOr<size_t> done = src.DrainTo([&](std::span<const std::byte> bytes) -> ErrnoOr<size_t> {
    const size_t put = TRY(PutAt(host_->get(), bytes, at, sync));
    at += static_cast<int64_t>(put);
    return put;
  });
  file_->remote().MarkStale();
  return done;
}

ErrnoOr<size_t> GoferOpenFile::Append(UserBuffer& src, int64_t* end) {
  // The host appends atomically, against others on the host too; the lock is for *end.
  absl::MutexLock lock(&file_->append_mu());
  const int how = RWF_APPEND | SyncFlags();
  const ErrnoOr<size_t> done =
      src.DrainTo([&](std::span<const std::byte> bytes) { return PutAt(host_->get(), bytes, 0, how); });
  file_->remote().MarkStale();
  if (done.ok()) *end = static_cast<int64_t>(TRY(Size()));
  return done;
}

ErrnoOr<uint64_t> GoferOpenFile::Size() {
  struct stat host;
  if (HostStat(host_->get(), &host) < 0) return HostErrno();
  return static_cast<uint64_t>(host.st_size);
}

ErrnoOr<int64_t> GoferOpenFile::SeekHole(int64_t offset, bool data) {
  // The host descriptor's position is shared with others and means nothing.
  const off_t at = lseek(host_->get(), offset, data ? SEEK_DATA : SEEK_HOLE);
  if (at < 0) return HostErrno();
  return at;
}

ErrnoOrVoid GoferOpenFile::Sync(bool data_only) {
  if ((data_only ? fdatasync(host_->get()) : fsync(host_->get())) < 0) return HostErrno();
  return {};
}

ErrnoOrVoid GoferOpenFile::Allocate(int mode, uint64_t offset, uint64_t length) {
  const int done = fallocate(host_->get(), mode, static_cast<off_t>(offset), static_cast<off_t>(length));
  file_->remote().ForgetSize();
  file_->remote().MarkStale();
  if (done < 0) return HostErrno();
  return {};
}

ErrnoOr<mm::Mappable::Backing> GoferOpenFile::BackingFor(uint64_t offset, uint64_t, bool shared,
                                                         bool writable) {
  if (shared && writable) {
    if (!host_->writable()) return Errno::kAcces;
    file_->remote().MarkMapped();
  }
  return Backing{host_->get(), offset};
}

mm::Mappable::Identity GoferOpenFile::identity() const {
  const Remote& remote = file_->remote();
  return {file_->fs().device(), remote.number()};
}

std::string GoferOpenFile::MappedName() const { return path() ? vfs::PathInMount(path()) : ""; }

}  // namespace cloister::goferfs
