#include "sentry/net/inet/host_socket.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "sentry/net/inet/host_options.h"

namespace cloister::net {
namespace {

constexpr size_t kPiece = 64 << 10;  // no datagram is larger
constexpr size_t kControlSize = 1024;
constexpr int kMaxBacklog = 4096;
constexpr socklen_t kShortestInet6 = 24;  // SIN6_LEN_RFC2133
constexpr int kSendFlags = MSG_OOB | MSG_DONTROUTE | MSG_MORE | MSG_CONFIRM | MSG_EOR;
constexpr int kReceiveFlags = MSG_OOB | MSG_PEEK | MSG_ERRQUEUE;

// One a worker: nothing holds it across calls. Not in the threads that move no data: what is thread_local
// itself is set to zero in each.
std::span<std::byte> Bounce() {
  static thread_local const auto bounce = std::make_unique_for_overwrite<std::byte[]>(kPiece);
  return {bounce.get(), kPiece};
}

template <typename F>
auto RetryIntr(F call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

// Appends the control messages that may go to the host; returns their length.
size_t WriteControl(const std::vector<ControlItem>& items, std::span<std::byte> out) {
  size_t used = 0;
  for (const ControlItem& item : items) {
    if (!MaySendControl(item.level, item.type, item.data.size())) continue;
    const size_t space = CMSG_SPACE(item.data.size());
    if (space > out.size() - used) break;
    cmsghdr header = {};
    header.cmsg_len = CMSG_LEN(item.data.size());
    header.cmsg_level = item.level;
    header.cmsg_type = item.type;
    memcpy(out.data() + used, &header, sizeof header);
    memcpy(out.data() + used + CMSG_LEN(0), item.data.data(), item.data.size());
    used += space;
  }
  return used;
}

void ReadControl(msghdr* message, Received* received) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr; header = CMSG_NXTHDR(message, header)) {
    if (!MayReceiveControl(header->cmsg_level, header->cmsg_type)) continue;
    const auto* data = reinterpret_cast<const std::byte*>(CMSG_DATA(header));
    received->control.items.push_back({header->cmsg_level, header->cmsg_type, {}});
    received->control.items.back().data.assign(data, data + (header->cmsg_len - CMSG_LEN(0)));
  }
}

SocketAddress HostAddress(const sockaddr_storage& storage, socklen_t size) {
  const size_t clipped = std::min<size_t>(size, sizeof storage);
  return *SocketAddress::From(std::as_bytes(std::span(&storage, 1)).first(clipped));
}

}  // namespace

HostSocket::HostSocket(const SocketRequest& request, Ref<NetNamespace> net, UniqueFd host)
    : Socket(request, std::move(net)), host_(std::move(host)) {}

HostSocket::~HostSocket() {
  if (watched_.load()) wait::Poller::Get().Unwatch(host_.get());
}

void HostSocket::OnHostEvents(Poll events) { queue_.Notify(events); }

void HostSocket::Watch() {
  if (watched_.load(std::memory_order_acquire) || watched_.exchange(true)) return;
  // Fails only for want of memory; then waiters see their deadline alone.
  static_cast<void>(wait::Poller::Get().Watch(host_.get(), *this));
}

Poll HostSocket::Ready() const {
  pollfd asked = {host_.get(), POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
  Poll ready;
  if (poll(&asked, 1, 0) > 0) ready = Poll(static_cast<uint16_t>(asked.revents));
  if (ready.Any(Poll(EPOLLIN))) ready |= Poll::kIn;
  if (ready.Any(Poll(EPOLLOUT))) ready |= Poll::kOut;
  if (pending_error_.load(std::memory_order_relaxed) != 0) ready |= Poll::kIn | Poll::kErr;
  return ready;
}

ErrnoOrVoid HostSocket::CheckAddress(const SocketAddress& address, bool may_be_unspecified) const {
  if (address.size() < sizeof(sa_family_t)) return Errno::kInval;
  switch (address.family()) {
    case AF_INET:
      if (address.size() < sizeof(sockaddr_in)) return Errno::kInval;
      return {};  // on an AF_INET6 socket the host decides
    case AF_INET6:
      if (domain() != AF_INET6) return Errno::kAfNoSupport;
      if (address.size() < kShortestInet6) return Errno::kInval;
      return {};
    case AF_UNSPEC:
      if (may_be_unspecified) return {};
      return Errno::kAfNoSupport;
    default:
      return Errno::kAfNoSupport;
  }
}

ErrnoOrVoid HostSocket::Bind(const SocketAddress& address, const vfs::Caller&) {
  TRY_VOID(CheckAddress(address, /*may_be_unspecified=*/true));
  if (bind(host_.get(), address.raw(), static_cast<socklen_t>(address.size())) != 0)
    return FromHostErrno(errno);
  return {};
}

ErrnoOrVoid HostSocket::Connect(const SocketAddress& address, const vfs::Caller&) {
  TRY_VOID(CheckAddress(address, /*may_be_unspecified=*/true));
  if (connect(host_.get(), address.raw(), static_cast<socklen_t>(address.size())) != 0)
    return FromHostErrno(errno);
  return {};
}

ErrnoOrVoid HostSocket::Listen(int backlog) {
  const int limit = backlog < 0 ? kMaxBacklog : std::min(backlog, kMaxBacklog);
  if (listen(host_.get(), limit) != 0) return FromHostErrno(errno);
  return {};
}

ErrnoOr<Ref<Socket>> HostSocket::Accept(int flags) {
  UniqueFd accepted(
      RetryIntr([this] { return accept4(host_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); }));
  if (!accepted.ok()) return FromHostErrno(errno);
  const SocketRequest request = {.domain = domain(),
                                 .type = type(),
                                 .protocol = protocol(),
                                 .flags = flags,
                                 .cred = cred(),
                                 .owner = owner()};
  return Ref<Socket>(MakeRef<HostSocket>(request, net_ref(), std::move(accepted)));
}

ErrnoOr<SocketAddress> HostSocket::GetSockName() {
  sockaddr_storage storage = {};
  socklen_t size = sizeof storage;
  if (getsockname(host_.get(), reinterpret_cast<sockaddr*>(&storage), &size) != 0)
    return FromHostErrno(errno);
  return HostAddress(storage, size);
}

ErrnoOr<SocketAddress> HostSocket::GetPeerName() {
  sockaddr_storage storage = {};
  socklen_t size = sizeof storage;
  if (getpeername(host_.get(), reinterpret_cast<sockaddr*>(&storage), &size) != 0)
    return FromHostErrno(errno);
  return HostAddress(storage, size);
}

ErrnoOrVoid HostSocket::Shutdown(int how) {
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return Errno::kInval;
  if (shutdown(host_.get(), how) != 0) return FromHostErrno(errno);
  queue_.Notify(Poll::kIn | Poll::kOut | Poll::kRdHup | Poll::kHup);
  return {};
}

ErrnoOr<size_t> HostSocket::SendPiece(std::span<const std::byte> data, const SendRequest& request,
                                      bool first) {
  alignas(cmsghdr) std::array<std::byte, kControlSize> control;
  iovec piece = {const_cast<std::byte*>(data.data()), data.size()};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (first && !request.to.empty()) {
    message.msg_name = const_cast<sockaddr*>(request.to.raw());
    message.msg_namelen = static_cast<socklen_t>(request.to.size());
  }
  if (first && !request.control.items.empty()) {
    message.msg_controllen = WriteControl(request.control.items, control);
    message.msg_control = message.msg_controllen > 0 ? control.data() : nullptr;
  }
  const int flags = (request.flags & kSendFlags) | MSG_DONTWAIT | MSG_NOSIGNAL;
  const ssize_t sent = RetryIntr([&] { return sendmsg(host_.get(), &message, flags); });
  if (sent < 0) return FromHostErrno(errno);
  return static_cast<size_t>(sent);
}

ErrnoOr<size_t> HostSocket::Send(UserBuffer& src, SendRequest& request) {
  if (!request.to.empty()) TRY_VOID(CheckAddress(request.to, /*may_be_unspecified=*/true));
  if (is_stream() && !src.empty()) {
    bool first = true;
    return src.DrainTo([&](std::span<const std::byte> data) {
      return SendPiece(data, request, std::exchange(first, false));
    });
  }
  if (src.size() > kPiece) return Errno::kMsgSize;
  UserBuffer ahead = src;
  const std::span<std::byte> data = Bounce().first(src.size());
  if (!data.empty() && TRY(ahead.CopyIn(data)) < data.size()) return Errno::kFault;
  const size_t sent = TRY(SendPiece(data, request, true));
  src = ahead;
  return sent;
}

// One recvmsg(2). Bytes, which may be more than data has room for (MSG_TRUNC of a datagram).
ErrnoOr<size_t> HostSocket::ReceivePiece(std::span<std::byte> data, int flags, Received* received) {
  alignas(cmsghdr) std::array<std::byte, kControlSize> control;
  sockaddr_storage from = {};
  iovec piece = {data.data(), data.size()};
  msghdr message = {};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const int host_flags = (flags & kReceiveFlags) | MSG_DONTWAIT | (is_stream() ? 0 : MSG_TRUNC);
  const ssize_t got = RetryIntr([&] { return recvmsg(host_.get(), &message, host_flags); });
  if (got < 0) return FromHostErrno(errno);
  received->from = HostAddress(from, message.msg_namelen);
  received->flags |= message.msg_flags & (MSG_TRUNC | MSG_CTRUNC | MSG_EOR | MSG_OOB | MSG_ERRQUEUE);
  ReadControl(&message, received);
  return static_cast<size_t>(got);
}

// A datagram, or bytes of a stream that are looked at or thrown away.
ErrnoOr<size_t> HostSocket::ReceiveOnce(UserBuffer& dst, int flags, Received* received) {
  const std::span<std::byte> space = Bounce().first(std::min(dst.size(), kPiece));
  const size_t got = TRY(ReceivePiece(space, flags, received));
  received->full_length = got;
  const size_t kept = std::min(got, space.size());
  if (kept == 0) return kept;
  if (is_stream() && (flags & MSG_TRUNC)) {  // tcp(7): the bytes are discarded
    dst.Skip(kept);
    return kept;
  }
  return dst.CopyOut(space.first(kept));
}

ErrnoOr<size_t> HostSocket::Receive(UserBuffer& dst, int flags, Received* received) {
  if (const int error = pending_error_.exchange(0, std::memory_order_relaxed)) return FromHostErrno(error);
  if (!is_stream() || dst.empty() || (flags & (MSG_PEEK | MSG_TRUNC | MSG_OOB | MSG_ERRQUEUE))) {
    return ReceiveOnce(dst, flags, received);
  }
  size_t total = 0;
  return dst.FillFrom([&](std::span<std::byte> space) {
    const ErrnoOr<size_t> got = ReceivePiece(space, flags, received);
    if (got.ok()) {
      total += *got;
    } else if (total > 0 && got.error() != Errno::kAgain) {
      pending_error_.store(static_cast<int>(got.error()), std::memory_order_relaxed);
    }
    return got;
  });
}

ErrnoOr<OptionValue> HostSocket::GetOption(int level, int name, size_t want) {
  const HostOption* const option = FindHostOption(level, name);
  if (option == nullptr && level == SOL_SOCKET) return Socket::GetOption(level, name, want);
  if (option == nullptr || !(option->direction & HostOption::kGet)) return Errno::kNoProtoOpt;
  std::array<std::byte, 256> value = {};
  socklen_t size = static_cast<socklen_t>(std::min<size_t>({want, option->most, value.size()}));
  if (getsockopt(host_.get(), level, name, value.data(), &size) != 0) return FromHostErrno(errno);
  return OptionValue(value.data(), value.data() + std::min<size_t>(size, value.size()));
}

ErrnoOrVoid HostSocket::SetOption(int level, int name, std::span<const std::byte> value) {
  const bool forced = level == SOL_SOCKET && (name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE);
  if (forced) name = name == SO_SNDBUFFORCE ? SO_SNDBUF : SO_RCVBUF;
  const HostOption* const option = FindHostOption(level, name);
  if (option == nullptr && level == SOL_SOCKET) return Socket::SetOption(level, name, value);
  if (option == nullptr || !(option->direction & HostOption::kSet)) return Errno::kNoProtoOpt;
  if (value.size() < option->least) return Errno::kInval;
  const socklen_t size = static_cast<socklen_t>(std::min<size_t>(value.size(), option->most));
  if (setsockopt(host_.get(), level, name, value.data(), size) != 0) return FromHostErrno(errno);
  return {};
}

ErrnoOr<int64_t> HostSocket::Ioctl(const vfs::IoctlRequest& request) {
  switch (request.command) {
    case FIONREAD:
    case SIOCOUTQ:
    case SIOCATMARK: {
      int value = 0;
      if (ioctl(host_.get(), request.command, &value) != 0) return FromHostErrno(errno);
      TRY_VOID(usermem::CopyOut(request.space, usermem::UserPtr<int>(request.arg), value));
      return 0;
    }
    default:
      return Socket::Ioctl(request);
  }
}

}  // namespace cloister::net
