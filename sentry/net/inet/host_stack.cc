#include "sentry/net/inet/host_stack.h"

#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "sentry/net/inet/host_socket.h"

namespace cloister::net {
namespace {

// The host's protocol number, or Linux's answer to a kind that is not served.
ErrnoOr<int> CheckKind(const SocketRequest& request) {
  const int protocol = request.protocol;
  if (protocol < 0 || protocol >= IPPROTO_MAX) return Errno::kInval;
  switch (request.type) {
    case SOCK_STREAM:
      if (protocol == 0 || protocol == IPPROTO_TCP) return IPPROTO_TCP;
      return Errno::kProtoNoSupport;
    case SOCK_DGRAM:
      if (protocol == 0 || protocol == IPPROTO_UDP) return IPPROTO_UDP;
      if (request.domain == AF_INET && protocol == IPPROTO_ICMP) return protocol;
      if (request.domain == AF_INET6 && protocol == IPPROTO_ICMPV6) return protocol;
      return Errno::kProtoNoSupport;
    case SOCK_RAW:
      // The sentry has no CAP_NET_RAW. Linux finds no raw protocol 0 before it asks for that.
      return protocol == 0 ? Errno::kProtoNoSupport : Errno::kPerm;
    default:
      return Errno::kSocktNoSupport;
  }
}

}  // namespace

absl::StatusOr<Ref<HostStack>> HostStack::Create() {
  UniqueFd route_socket = TRY_STATUS(HostRoutes::OpenSocket());
  return MakeRef<HostStack>(std::move(route_socket));
}

ErrnoOr<Ref<Socket>> HostStack::MakeSocket(const SocketRequest& request, Ref<NetNamespace> net) {
  if (request.domain != AF_INET && request.domain != AF_INET6) return Errno::kAfNoSupport;
  SocketRequest fixed = request;
  fixed.protocol = TRY(CheckKind(request));
  UniqueFd host(socket(fixed.domain, fixed.type | SOCK_NONBLOCK | SOCK_CLOEXEC, fixed.protocol));
  if (!host.ok()) return FromHostErrno(errno);
  return Ref<Socket>(MakeRef<HostSocket>(fixed, std::move(net), std::move(host)));
}

ErrnoOr<std::vector<Interface>> HostStack::Interfaces() {
  const Messages links = TRY(routes_.Dump(RTM_GETLINK, AF_UNSPEC));
  const Messages addresses = TRY(routes_.Dump(RTM_GETADDR, AF_UNSPEC));
  return ParseInterfaces(links, addresses);
}

ErrnoOr<Stack::Messages> HostStack::RouteDump(uint16_t type, uint8_t family) {
  switch (type) {
    case RTM_GETLINK:
    case RTM_GETADDR:
    case RTM_GETROUTE:
    case RTM_GETRULE:
    case RTM_GETNEIGH:
      return routes_.Dump(type, family);
    default:
      return Errno::kOpNotSupp;
  }
}

}  // namespace cloister::net
