#include "sentry/fs/host/host_descriptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/host/host_stat.h"

namespace cloister::hostfs {
namespace {

using Kind = HostDescriptor::Kind;

bool IsNull(dev_t device) { return major(device) == 1 && minor(device) == 3; }

Kind KindOf(int fd, const struct stat& st) {
  switch (st.st_mode & S_IFMT) {
    case S_IFREG:
      return Kind::kRegular;
    case S_IFIFO:
      return Kind::kPipe;
    case S_IFSOCK:
      return Kind::kSocket;
    case S_IFCHR:
      if (IsNull(st.st_rdev)) return Kind::kNull;
      return isatty(fd) == 1 ? Kind::kTty : Kind::kOther;
    default:
      return Kind::kOther;
  }
}

ErrnoOr<size_t> Result(ssize_t done) {
  if (done < 0) return FromHostErrno(errno);
  return static_cast<size_t>(done);
}

template <typename Call>
ssize_t Retry(Call call) {
  ssize_t done;
  do {
    done = call();
  } while (done < 0 && errno == EINTR);
  return done;
}

}  // namespace

ErrnoOr<Ref<HostDescriptor>> HostDescriptor::Make(UniqueFd fd) {
  const int flags = fcntl(fd.get(), F_GETFL);
  struct stat st;
  if (flags < 0 || HostStat(fd.get(), &st) != 0) return FromHostErrno(errno);
  const mode_t type = st.st_mode & S_IFMT;
  if ((flags & O_PATH) || type == S_IFDIR || type == S_IFBLK || type == S_IFLNK) return Errno::kInval;
  const Kind kind = KindOf(fd.get(), st);
  return MakeRef<HostDescriptor>(std::move(fd), kind, flags & (O_ACCMODE | O_APPEND));
}

HostDescriptor::HostDescriptor(UniqueFd fd, Kind kind, int flags)
    : fd_(std::move(fd)), kind_(kind), flags_(flags) {
  if (kind_ == Kind::kRegular || kind_ == Kind::kNull) return;
  watched_ = wait::Poller::Get().Watch(fd_.get(), *this).ok();
}

HostDescriptor::~HostDescriptor() {
  if (watched_) wait::Poller::Get().Unwatch(fd_.get());
}

ErrnoOr<struct stat> HostDescriptor::Stat() const {
  struct stat st;
  if (HostStat(fd_.get(), &st) != 0) return FromHostErrno(errno);
  return st;
}

ErrnoOrVoid HostDescriptor::CheckReady(short events) const {
  pollfd poll_fd = {fd_.get(), events, 0};
  if (Retry([&] { return poll(&poll_fd, 1, 0); }) < 0) return FromHostErrno(errno);
  if (poll_fd.revents == 0) return Errno::kAgain;
  return {};
}

size_t HostDescriptor::SafeWrite() const {
  // A pty with room takes one buffer of 256 bytes, and each byte may become two (ONLCR).
  return kind_ == Kind::kTty ? 128 : 4096;
}

ErrnoOr<size_t> HostDescriptor::Read(std::span<std::byte> dst) {
  if (kind_ == Kind::kNull || dst.empty()) return 0;
  iovec piece = {dst.data(), dst.size()};
  if (kind_ == Kind::kSocket) {
    msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    return Result(Retry([&] { return recvmsg(fd_.get(), &message, MSG_DONTWAIT); }));
  }
  if (nowait_.load(std::memory_order_relaxed)) {
    const ssize_t done = Retry([&] { return preadv2(fd_.get(), &piece, 1, -1, RWF_NOWAIT); });
    if (done >= 0 || (errno != EOPNOTSUPP && errno != EINVAL)) return Result(done);
    nowait_.store(false, std::memory_order_relaxed);
  }
  TRY_VOID(CheckReady(POLLIN));
  return Result(Retry([&] { return preadv2(fd_.get(), &piece, 1, -1, 0); }));
}

ErrnoOr<size_t> HostDescriptor::Write(std::span<const std::byte> src) {
  if (kind_ == Kind::kNull || src.empty()) return src.size();
  iovec piece = {const_cast<std::byte*>(src.data()), src.size()};
  if (kind_ == Kind::kSocket) {
    const msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    return Result(Retry([&] { return sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL); }));
  }
  if (nowait_.load(std::memory_order_relaxed)) {
    const ssize_t done = Retry([&] { return pwritev2(fd_.get(), &piece, 1, -1, RWF_NOWAIT); });
    if (done >= 0 || (errno != EOPNOTSUPP && errno != EINVAL)) return Result(done);
    nowait_.store(false, std::memory_order_relaxed);
  }
  TRY_VOID(CheckReady(POLLOUT));
  piece.iov_len = std::min(piece.iov_len, SafeWrite());
  return Result(Retry([&] { return pwritev2(fd_.get(), &piece, 1, -1, 0); }));
}

ErrnoOr<size_t> HostDescriptor::ReadAt(std::span<std::byte> dst, int64_t offset) {
  const iovec piece = {dst.data(), dst.size()};
  return Result(Retry([&] { return preadv2(fd_.get(), &piece, 1, offset, 0); }));
}

ErrnoOr<size_t> HostDescriptor::WriteAt(std::span<const std::byte> src, int64_t offset, bool append) {
  const iovec piece = {const_cast<std::byte*>(src.data()), src.size()};
  return Result(Retry([&] { return pwritev2(fd_.get(), &piece, 1, offset, append ? RWF_APPEND : 0); }));
}

Poll HostDescriptor::Ready() const {
  if (!watched_) return Poll::kIn | Poll::kOut;
  pollfd poll_fd = {fd_.get(), POLLIN | POLLRDNORM | POLLPRI | POLLOUT | POLLWRNORM | POLLRDHUP, 0};
  if (Retry([&] { return poll(&poll_fd, 1, 0); }) < 0) return Poll::kErr;
  return Poll(static_cast<uint16_t>(poll_fd.revents));
}

}  // namespace cloister::hostfs
