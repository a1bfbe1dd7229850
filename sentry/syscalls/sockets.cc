// Sockets: making, naming, connecting, options.

#include <sys/socket.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "sentry/net/netlink/netlink_socket.h"
#include "sentry/net/unix/unix_socket.h"
#include "sentry/syscalls/socket_arguments.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

using net::NetNamespace;
using net::OptionValue;
using net::Socket;
using net::SocketAddress;
using net::SocketRequest;
using usermem::UserPtr;
using wait::Poll;

constexpr int kTypeMask = 0xf;
constexpr int kMaxOption = 4096;

// Arguments 0 to 2 of socket(2) and socketpair(2).
ErrnoOr<SocketRequest> RequestOf(Task& task, const SyscallArgs& args) {
  const int flags = args.Int(1) & ~kTypeMask;
  if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) return Errno::kInval;
  if (args.Int(0) < 0 || args.Int(0) >= AF_MAX) return Errno::kAfNoSupport;
  SocketRequest request;
  request.domain = args.Int(0);
  request.type = args.Int(1) & kTypeMask;
  request.protocol = args.Int(2);
  request.flags = flags & SOCK_NONBLOCK;
  request.cred = task.cred();
  request.owner = OwnCredentials(task);
  return request;
}

ErrnoOr<Ref<Socket>> Make(const SocketRequest& request) {
  const Ref<NetNamespace>& net = NetNamespace::OfSandbox();
  if (!net) return Errno::kAfNoSupport;
  switch (request.domain) {
    case AF_UNIX:
      return net::MakeUnixSocket(request, net);
    case AF_NETLINK:
      return net::MakeNetlinkSocket(request, net);
    case AF_INET:
    case AF_INET6:
      if (net->stack() == nullptr) return Errno::kAfNoSupport;
      return net->stack()->MakeSocket(request, net);
    default:
      return Errno::kAfNoSupport;
  }
}

ErrnoOr<int> MakeSocket(Task& task, const SyscallArgs& args) {
  const SocketRequest request = TRY(RequestOf(task, args));
  return task.InstallFile(TRY(Make(request)), (args.Int(1) & SOCK_CLOEXEC) != 0);
}

ErrnoOr<int> Socketpair(Task& task, const SyscallArgs& args) {
  const SocketRequest request = TRY(RequestOf(task, args));
  if (request.domain != AF_UNIX) return request.domain == AF_INET ? Errno::kOpNotSupp : Errno::kAfNoSupport;
  if (!NetNamespace::OfSandbox()) return Errno::kAfNoSupport;
  auto pair = TRY(net::MakeUnixPair(request, NetNamespace::OfSandbox()));
  const bool cloexec = (args.Int(1) & SOCK_CLOEXEC) != 0;
  int fds[2];
  fds[0] = TRY(task.InstallFile(std::move(pair.first), cloexec));
  const ErrnoOr<int> second = task.InstallFile(std::move(pair.second), cloexec);
  if (!second.ok()) {
    static_cast<void>(task.files().Remove(fds[0]));
    return second.error();
  }
  fds[1] = *second;
  const ErrnoOrVoid copied = usermem::CopyOutBytes(task.space(), args.Addr(3), std::as_bytes(std::span(fds)));
  if (copied.ok()) return 0;
  static_cast<void>(task.files().Remove(fds[0]));
  static_cast<void>(task.files().Remove(fds[1]));
  return copied.error();
}

ErrnoOrVoid Bind(Task& task, const SyscallArgs& args) {
  const SocketRef socket = TRY(GetSocket(task, args.Int(0)));
  const SocketAddress address = TRY(CopyInAddress(task, args.Addr(1), args.Int(2)));
  return socket->Bind(address, task.MakeCaller());
}

ErrnoOrVoid Listen(Task& task, const SyscallArgs& args) {
  const SocketRef socket = TRY(GetSocket(task, args.Int(0)));
  return socket->Listen(args.Int(1));
}

struct ConnectCall {
  SocketRef socket;
  SocketAddress address;
  SocketWait wait;

  static ErrnoOr<ConnectCall> Begin(Task& task, const SyscallArgs& args) {
    ConnectCall call;
    TRY_VOID(task.GetFile(args.Int(0)));
    call.address = TRY(CopyInAddress(task, args.Addr(1), args.Int(2)));
    call.socket = TRY(GetSocket(task, args.Int(0)));
    call.wait = SocketWait::For(*call.socket, 0, call.socket->send_timeout());
    return call;
  }

  Outcome Step(Task& task) {
    const ErrnoOrVoid result = socket->Connect(address, task.MakeCaller());
    const bool later =
        !result.ok() && (result.error() == Errno::kInProgress || result.error() == Errno::kAlready ||
                         (result.error() == Errno::kAgain && socket->domain() == AF_UNIX));
    if (!later || !wait.may_block) return task::ToAnswer(result);
    Outcome outcome = wait.BlockOn(socket->connect_wait(), 0);
    if (result.error() != Errno::kAgain) std::get<task::Block>(outcome).at_deadline = Errno::kInProgress;
    return outcome;
  }
};

struct AcceptCall {
  SocketRef socket;
  uint64_t addr = 0, size_addr = 0;
  int flags = 0;
  SocketWait wait;

  static ErrnoOr<AcceptCall> With(Task& task, const SyscallArgs& args, int flags) {
    TRY_VOID(task.GetFile(args.Int(0)));
    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) return Errno::kInval;
    AcceptCall call;
    call.socket = TRY(GetSocket(task, args.Int(0)));
    call.addr = args.Addr(1);
    call.size_addr = args.Addr(2);
    call.flags = flags;
    call.wait = SocketWait::For(*call.socket, 0, call.socket->receive_timeout());
    return call;
  }
  static ErrnoOr<AcceptCall> Begin(Task& task, const SyscallArgs& args) { return With(task, args, 0); }

  Outcome Step(Task& task) {
    ErrnoOr<Ref<Socket>> accepted = socket->Accept(flags & SOCK_NONBLOCK);
    if (!accepted.ok() && accepted.error() == Errno::kAgain && wait.may_block) {
      return wait.BlockOn({Ref<RefCounted>(socket.file), socket.file->wait_queue(), Poll::kIn}, 0);
    }
    if (!accepted.ok()) return Answer(accepted.error());
    return task::ToAnswer(Install(task, *std::move(accepted)));
  }

  ErrnoOr<int> Install(Task& task, Ref<Socket> accepted) {
    if (addr != 0) {
      const ErrnoOr<SocketAddress> peer = accepted->GetPeerName();
      if (!peer.ok()) return Errno::kConnAborted;
      TRY_VOID(CopyOutAddress(task, *peer, addr, size_addr));
    }
    return task.InstallFile(std::move(accepted), (flags & SOCK_CLOEXEC) != 0);
  }
};

struct Accept4Call : AcceptCall {
  static ErrnoOr<Accept4Call> Begin(Task& task, const SyscallArgs& args) {
    return Accept4Call{TRY(With(task, args, args.Int(3)))};
  }
};

ErrnoOrVoid GetName(Task& task, const SyscallArgs& args, const SocketAddress& address) {
  if (args.Addr(1) == 0) return Errno::kFault;
  return CopyOutAddress(task, address, args.Addr(1), args.Addr(2));
}

ErrnoOrVoid Getsockname(Task& task, const SyscallArgs& args) {
  const SocketRef socket = TRY(GetSocket(task, args.Int(0)));
  return GetName(task, args, TRY(socket->GetSockName()));
}

ErrnoOrVoid Getpeername(Task& task, const SyscallArgs& args) {
  const SocketRef socket = TRY(GetSocket(task, args.Int(0)));
  return GetName(task, args, TRY(socket->GetPeerName()));
}

ErrnoOrVoid Getsockopt(Task& task, const SyscallArgs& args) {
  const SocketRef socket = TRY(GetSocket(task, args.Int(0)));
  const int room = TRY(task.CopyIn(args.Ptr<const int>(4)));
  if (room < 0) return Errno::kInval;
  const size_t want = static_cast<size_t>(std::min(room, kMaxOption));
  const OptionValue value = TRY(socket->GetOption(args.Int(1), args.Int(2), want));
  const size_t size = std::min(want, value.size());
  TRY_VOID(usermem::CopyOutBytes(task.space(), args.Addr(3), std::span(value.data(), size)));
  return task.CopyOut(args.Ptr<int>(4), static_cast<int>(size));
}

ErrnoOrVoid Setsockopt(Task& task, const SyscallArgs& args) {
  const SocketRef socket = TRY(GetSocket(task, args.Int(0)));
  if (args.Int(4) < 0) return Errno::kInval;
  std::vector<std::byte> value(static_cast<size_t>(std::min(args.Int(4), kMaxOption)));
  TRY_VOID(usermem::CopyInBytes(task.space(), args.Addr(3), value));
  return socket->SetOption(args.Int(1), args.Int(2), value);
}

ErrnoOrVoid Shutdown(Task& task, const SyscallArgs& args) {
  const SocketRef socket = TRY(GetSocket(task, args.Int(0)));
  return socket->Shutdown(args.Int(1));
}

constexpr const char* kFamilies = "AF_UNIX, AF_INET, AF_INET6 and NETLINK_ROUTE; no raw sockets";
constexpr const char* kOptions = "the options listed in sentry/net; ENOPROTOOPT for others";

constexpr Entry kEntries[] = {
    {SYS_socket, Plain<MakeSocket>, Support::kPartial, kFamilies},
    {SYS_socketpair, Plain<Socketpair>},
    {SYS_bind, Plain<Bind>},
    {SYS_listen, Plain<Listen>},
    {SYS_connect, Blocking<ConnectCall>},
    {SYS_accept, Blocking<AcceptCall>},
    {SYS_accept4, Blocking<Accept4Call>},
    {SYS_getsockname, Plain<Getsockname>},
    {SYS_getpeername, Plain<Getpeername>},
    {SYS_getsockopt, Plain<Getsockopt>, Support::kPartial, kOptions},
    {SYS_setsockopt, Plain<Setsockopt>, Support::kPartial, kOptions},
    {SYS_shutdown, Plain<Shutdown>},
};

}  // namespace

std::span<const Entry> SocketSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
