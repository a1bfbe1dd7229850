#include "sentry/net/unix/unix_socket.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "sentry/vfs/dentry.h"
#include "sentry/vfs/inode.h"
#include "sentry/vfs/mount.h"
#include "sentry/vfs/operations.h"

namespace cloister::net {
namespace {

constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);
constexpr int kSmallestBuffer = 4608;   // SOCK_MIN_SNDBUF
constexpr int kLargestBuffer = 212992;  // net.core.wmem_max, before it is doubled
constexpr int kSoPeerPidFd = 77;        // SO_PEERPIDFD

// The name in an AF_UNIX address.
struct UnixName {
  bool unnamed = false;   // the family alone
  bool abstract = false;  // name is without its leading NUL
  std::string name;
};

ErrnoOr<UnixName> Parse(const SocketAddress& address) {
  if (address.size() < sizeof(sa_family_t) || address.size() > sizeof(sockaddr_un)) return Errno::kInval;
  if (address.family() != AF_UNIX) return Errno::kInval;
  UnixName result;
  if (address.size() == kPathOffset) {
    result.unnamed = true;
    return result;
  }
  const std::span<const std::byte> bytes = address.bytes().subspan(kPathOffset);
  const char* const text = reinterpret_cast<const char*>(bytes.data());
  result.abstract = text[0] == '\0';
  result.name = result.abstract ? std::string(text + 1, bytes.size() - 1)
                                : std::string(text, strnlen(text, bytes.size()));
  return result;
}

// An address as Linux keeps it: a path's ends behind its NUL.
SocketAddress PathAddress(const std::string& path) {
  sockaddr_un un = {};
  un.sun_family = AF_UNIX;
  memcpy(un.sun_path, path.data(), std::min(path.size(), sizeof un.sun_path));
  const size_t size = std::min(kPathOffset + path.size() + 1, sizeof un);
  return *SocketAddress::From(std::as_bytes(std::span(&un, 1)).first(size));
}

ErrnoOr<Ref<UnixCore>> FindPath(const std::string& path, const vfs::Caller& caller) {
  const vfs::Path found = TRY(vfs::Resolve(caller, caller.cwd, path, {}));
  const Ref<vfs::Inode> inode = found.dentry()->inode();
  if (!inode) return Errno::kNoEnt;
  TRY_VOID(vfs::CheckPermission(*caller.cred, TRY(inode->GetOwnership()), W_OK));
  if (inode->type() != S_IFSOCK) return Errno::kConnRefused;
  Ref<UnixCore> core = UnixCore::FindBound(*inode);
  if (!core) return Errno::kConnRefused;
  return core;
}

ErrnoOr<Ref<UnixCore>> Find(const UnixName& name, AbstractNames& names, const vfs::Caller& caller) {
  if (name.unnamed) return Errno::kInval;
  if (!name.abstract) return FindPath(name.name, caller);
  const Ref<RefCounted> found = names.Find(name.name);
  if (!found) return Errno::kConnRefused;
  return Ref<UnixCore>(static_cast<UnixCore*>(found.get()));
}

ErrnoOrVoid CheckKind(const SocketRequest& request) {
  if (request.protocol != 0 && request.protocol != PF_UNIX) return Errno::kProtoNoSupport;
  switch (request.type) {
    case SOCK_STREAM:
    case SOCK_DGRAM:
    case SOCK_SEQPACKET:
      return {};
    default:
      return Errno::kSocktNoSupport;
  }
}

ErrnoOr<int64_t> AnswerInt(const vfs::IoctlRequest& request, size_t value) {
  const int clipped = static_cast<int>(std::min<size_t>(value, INT32_MAX));
  TRY_VOID(usermem::CopyOut(request.space, usermem::UserPtr<int>(request.arg), clipped));
  return 0;
}

}  // namespace

UnixSocket::UnixSocket(const SocketRequest& request, Ref<NetNamespace> net, Ref<UnixCore> core)
    : Socket(request, std::move(net)), core_(std::move(core)) {}

UnixSocket::~UnixSocket() {
  core_->Close();
  MaybeCollectRings();
}

ErrnoOrVoid UnixSocket::Bind(const SocketAddress& address, const vfs::Caller& caller) {
  const UnixName name = TRY(Parse(address));
  if (name.unnamed) return core_->BindAny();
  if (name.abstract) return core_->BindAbstract(name.name);
  return core_->BindPath(PathAddress(name.name),
                         [&] { return vfs::MakeNode(caller, caller.cwd, name.name, S_IFSOCK | 0777, 0); });
}

// A datagram that asks for credentials wants an address to answer to.
ErrnoOrVoid UnixSocket::AutobindIfPassing() {
  if (!core_->pass_credentials()) return {};
  return core_->BindAny();
}

ErrnoOrVoid UnixSocket::Connect(const SocketAddress& address, const vfs::Caller& caller) {
  if (type() == SOCK_DGRAM && address.family() == AF_UNSPEC && address.size() >= sizeof(sa_family_t)) {
    return core_->SetDefaultPeer(nullptr);
  }
  const UnixName name = TRY(Parse(address));
  TRY_VOID(AutobindIfPassing());
  Ref<UnixCore> target = TRY(Find(name, net().abstract_names(), caller));
  if (type() == SOCK_DGRAM) return core_->SetDefaultPeer(std::move(target));
  ucred who = owner();
  who.pid = caller.thread_group;
  who.uid = caller.cred->euid;
  who.gid = caller.cred->egid;
  const ErrnoOrVoid connected = core_->ConnectTo(*target, who);
  if (!connected.ok() && connected.error() == Errno::kAgain) {
    absl::MutexLock lock(&mu_);
    std::swap(waiting_for_, target);
  }
  return connected;
}

wait::WaitOn UnixSocket::connect_wait() {
  Ref<UnixCore> listener;
  {
    absl::MutexLock lock(&mu_);
    listener = waiting_for_;
  }
  if (!listener) return Socket::connect_wait();
  wait::WaitQueue* const queue = &listener->queue();
  return {Ref<RefCounted>(std::move(listener)), queue, Poll::kOut};
}

ErrnoOrVoid UnixSocket::Listen(int backlog) { return core_->Listen(backlog, owner()); }

ErrnoOr<Ref<Socket>> UnixSocket::Accept(int flags) {
  Ref<UnixCore> accepted = TRY(core_->Accept());
  const SocketRequest request = {
      .domain = AF_UNIX, .type = type(), .protocol = 0, .flags = flags, .cred = cred(), .owner = owner()};
  return Ref<Socket>(MakeRef<UnixSocket>(request, net_ref(), std::move(accepted)));
}

ErrnoOr<SocketAddress> UnixSocket::GetSockName() {
  SocketAddress address = core_->address();
  if (address.empty()) return SocketAddress::Of(sa_family_t{AF_UNIX});
  return address;
}

ErrnoOr<SocketAddress> UnixSocket::GetPeerName() {
  const Ref<UnixCore> peer = core_->peer();
  if (!peer) return Errno::kNotConn;
  SocketAddress address = peer->address();
  if (address.empty()) return SocketAddress::Of(sa_family_t{AF_UNIX});
  return address;
}

ErrnoOrVoid UnixSocket::Shutdown(int how) {
  switch (how) {
    case SHUT_RD:
      return core_->Shutdown(UnixCore::kShutReceive);
    case SHUT_WR:
      return core_->Shutdown(UnixCore::kShutSend);
    case SHUT_RDWR:
      return core_->Shutdown(UnixCore::kShutBoth);
    default:
      return Errno::kInval;
  }
}

ErrnoOr<size_t> UnixSocket::Send(UserBuffer& src, SendRequest& request) {
  if (request.flags & MSG_OOB) return Errno::kOpNotSupp;
  if (type() == SOCK_STREAM) {
    if (!request.to.empty()) return core_->peer() ? Errno::kIsConn : Errno::kOpNotSupp;
    return core_->SendStream(src, request);
  }
  Ref<UnixCore> to;
  if (type() == SOCK_DGRAM) {
    if (!request.to.empty()) {
      if (request.caller == nullptr) return Errno::kInval;
      to = TRY(Find(TRY(Parse(request.to)), net().abstract_names(), *request.caller));
      if (to->type() != SOCK_DGRAM) return Errno::kPrototype;
    }
    TRY_VOID(AutobindIfPassing());
  }
  return core_->SendMessage(src, request, std::move(to));
}

ErrnoOr<size_t> UnixSocket::Receive(UserBuffer& dst, int flags, Received* received) {
  if (flags & MSG_OOB) return Errno::kOpNotSupp;
  if (type() == SOCK_STREAM) return core_->ReceiveStream(dst, flags, received);
  return core_->ReceiveMessage(dst, flags, received);
}

ErrnoOr<OptionValue> UnixSocket::GetOption(int level, int name, size_t want) {
  if (level != SOL_SOCKET) return Errno::kOpNotSupp;
  switch (name) {
    case SO_SNDBUF:
      return ToOption(static_cast<int>(core_->send_buffer()));
    case SO_RCVBUF:
      return ToOption(static_cast<int>(kDefaultBuffer));
    case SO_PASSCRED:
      return ToOption(core_->pass_credentials() ? 1 : 0);
    case SO_PEERCRED:
      return ToOption(core_->peer_credentials());
    case SO_PEERSEC:
    case kSoPeerPidFd:
      return Errno::kNoProtoOpt;
    default:
      return Socket::GetOption(level, name, want);
  }
}

ErrnoOrVoid UnixSocket::SetOption(int level, int name, std::span<const std::byte> value) {
  if (level != SOL_SOCKET) return Errno::kOpNotSupp;
  switch (name) {
    case SO_SNDBUF:
    case SO_SNDBUFFORCE: {
      const int wanted = TRY(FromOption<int>(value));
      core_->set_send_buffer(
          static_cast<size_t>(std::max(std::clamp(wanted, 0, kLargestBuffer) * 2, kSmallestBuffer)));
      return {};
    }
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
      return FromOption<int>(value).ok() ? Ok() : ErrnoOrVoid(Errno::kInval);  // the sender's buffer decides
    case SO_PASSCRED:
      core_->set_pass_credentials(TRY(FromOption<int>(value)) != 0);
      return {};
    default:
      return Socket::SetOption(level, name, value);
  }
}

ErrnoOr<int64_t> UnixSocket::Ioctl(const vfs::IoctlRequest& request) {
  switch (request.command) {
    case FIONREAD:  // SIOCINQ
      if (core_->listening()) return Errno::kInval;
      return AnswerInt(request, core_->ReadableBytes());
    case SIOCOUTQ: {
      const Ref<UnixCore> peer = core_->peer();
      return AnswerInt(request, peer ? peer->charged() : 0);
    }
    default:
      return Socket::Ioctl(request);
  }
}

ErrnoOr<Ref<Socket>> MakeUnixSocket(const SocketRequest& request, Ref<NetNamespace> net) {
  SocketRequest fixed = request;
  if (fixed.type == SOCK_RAW) fixed.type = SOCK_DGRAM;  // as Linux, for BSD's sake
  fixed.protocol = fixed.protocol == PF_UNIX ? 0 : fixed.protocol;
  TRY_VOID(CheckKind(fixed));
  MaybeCollectRings();
  auto core = MakeRef<UnixCore>(fixed.type, net);
  return Ref<Socket>(MakeRef<UnixSocket>(fixed, std::move(net), std::move(core)));
}

ErrnoOr<std::pair<Ref<Socket>, Ref<Socket>>> MakeUnixPair(const SocketRequest& request,
                                                          Ref<NetNamespace> net) {
  Ref<Socket> one = TRY(MakeUnixSocket(request, net));
  Ref<Socket> other = TRY(MakeUnixSocket(request, std::move(net)));
  UnixCore::Pair(static_cast<UnixSocket&>(*one).core(), static_cast<UnixSocket&>(*other).core(),
                 request.owner);
  return std::make_pair(std::move(one), std::move(other));
}

}  // namespace cloister::net
