#include "sentry/net/socket/socket.h"

#include <sys/stat.h>
#include <sys/time.h>

#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sentry/net/socket/interface_ioctl.h"
#include "sentry/vfs/anon/anon_inode.h"

namespace cloister::net {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kLongestSeconds = int64_t{1} << 32;

OptionValue TimeoutOption(int64_t ns) {
  timeval value = {};
  value.tv_sec = ns / kSecond;
  value.tv_usec = ns % kSecond / 1000;
  return ToOption(value);
}

// Linux: sock_set_timeout. kDom for microseconds out of range; a negative time means not to wait at all,
// which becomes the shortest wait.
ErrnoOr<int64_t> ParseTimeout(std::span<const std::byte> bytes) {
  const timeval value = TRY(FromOption<timeval>(bytes));
  if (value.tv_usec < 0 || value.tv_usec >= 1'000'000) return Errno::kDom;
  if (value.tv_sec < 0) return 1;
  if (value.tv_sec > kLongestSeconds) return 0;
  return value.tv_sec * kSecond + value.tv_usec * 1000;
}

}  // namespace

Socket::Socket(const SocketRequest& request, Ref<NetNamespace> net)
    : FileDescription(O_RDWR | request.flags, vfs::Path(), request.cred),
      domain_(request.domain),
      type_(request.type),
      protocol_(request.protocol),
      owner_(request.owner),
      inode_number_(vfs::NextAnonInodeNumber()),
      net_(std::move(net)) {}

Socket::~Socket() = default;

wait::WaitOn Socket::connect_wait() { return {Ref<RefCounted>(this), wait_queue(), Poll::kOut}; }

ErrnoOr<size_t> Socket::Read(UserBuffer& dst) {
  Received received;
  return Receive(dst, 0, &received);
}

ErrnoOr<size_t> Socket::Write(UserBuffer& src) {
  SendRequest request;
  request.sender = owner_;
  return Send(src, request);
}

ErrnoOr<int64_t> Socket::Ioctl(const vfs::IoctlRequest& request) {
  if (net_->stack() == nullptr) return Errno::kNotTy;
  return InterfaceIoctl(*net_->stack(), request);
}

Ref<vfs::Inode> Socket::inode() const {
  absl::MutexLock lock(&inode_mu_);
  if (!inode_) {
    inode_ = MakeRef<vfs::AnonInode>(vfs::AnonKind::kSocket, S_IFSOCK | 0777, inode_number_, *cred());
  }
  return inode_;
}

std::string Socket::Name() const { return absl::StrCat("socket:[", inode_number_, "]"); }

ErrnoOr<OptionValue> Socket::GetOption(int level, int name, size_t) {
  if (level != SOL_SOCKET) return Errno::kOpNotSupp;
  for (size_t i = 0; i < kKeptCount; ++i) {
    if (kKept[i] == name) return ToOption(kept_[i].load(std::memory_order_relaxed));
  }
  switch (name) {
    case SO_TYPE:
      return ToOption(type_);
    case SO_DOMAIN:
      return ToOption(domain_);
    case SO_PROTOCOL:
      return ToOption(protocol_);
    case SO_ACCEPTCONN:
      return ToOption(listening() ? 1 : 0);
    case SO_ERROR:
      return ToOption(TakeError());
    case SO_RCVTIMEO:
      return TimeoutOption(receive_timeout());
    case SO_SNDTIMEO:
      return TimeoutOption(send_timeout());
    case SO_LINGER:
      return ToOption(linger_.load(std::memory_order_relaxed));
    case SO_COOKIE:
      return ToOption(inode_number_);
    default:
      return Errno::kNoProtoOpt;
  }
}

ErrnoOrVoid Socket::SetOption(int level, int name, std::span<const std::byte> value) {
  if (level != SOL_SOCKET) return Errno::kNoProtoOpt;
  for (size_t i = 0; i < kKeptCount; ++i) {
    if (kKept[i] != name) continue;
    const int number = TRY(FromOption<int>(value));
    const bool is_number = name == SO_PRIORITY || name == SO_RCVLOWAT;
    kept_[i].store(is_number ? number : number != 0, std::memory_order_relaxed);
    return {};
  }
  switch (name) {
    case SO_RCVTIMEO:
      receive_timeout_.store(TRY(ParseTimeout(value)), std::memory_order_relaxed);
      return {};
    case SO_SNDTIMEO:
      send_timeout_.store(TRY(ParseTimeout(value)), std::memory_order_relaxed);
      return {};
    case SO_LINGER:
      static_assert(sizeof(linger) == sizeof(uint64_t));
      linger_.store(std::bit_cast<uint64_t>(TRY(FromOption<linger>(value))), std::memory_order_relaxed);
      return {};
    case SO_TYPE:
    case SO_DOMAIN:
    case SO_PROTOCOL:
    case SO_ERROR:
    case SO_ACCEPTCONN:
      return Errno::kNoProtoOpt;
    default:
      return Errno::kNoProtoOpt;
  }
}

}  // namespace cloister::net
