#include "sentry/net/inet/host_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

namespace cloister::net {
namespace {

using enum HostOption::Direction;

constexpr uint16_t kInt = sizeof(int);
// Linux takes a byte too for most options of IPPROTO_IP.
constexpr uint16_t kByte = 1;

constexpr HostOption kOptions[] = {
    {SOL_SOCKET, SO_REUSEADDR, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_REUSEPORT, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_KEEPALIVE, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_BROADCAST, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_SNDBUF, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_RCVBUF, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_LINGER, kBoth, sizeof(linger), sizeof(linger)},
    {SOL_SOCKET, SO_OOBINLINE, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_DONTROUTE, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_PRIORITY, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_RCVLOWAT, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_TIMESTAMP, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_TIMESTAMPNS, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_NO_CHECK, kBoth, kInt, kInt},
    {SOL_SOCKET, SO_ERROR, kGet, kInt, kInt},
    {SOL_SOCKET, SO_ACCEPTCONN, kGet, kInt, kInt},
    {SOL_SOCKET, SO_INCOMING_CPU, kGet, kInt, kInt},
    {SOL_SOCKET, SO_BINDTODEVICE, kBoth, 0, 16},

    {IPPROTO_TCP, TCP_NODELAY, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_MAXSEG, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_CORK, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_KEEPIDLE, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_KEEPINTVL, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_KEEPCNT, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_SYNCNT, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_LINGER2, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_INFO, kGet, 0, 256},
    {IPPROTO_TCP, TCP_QUICKACK, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_CONGESTION, kBoth, 1, 16},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_FASTOPEN, kBoth, kInt, kInt},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, kBoth, kInt, kInt},

    {IPPROTO_IP, IP_TOS, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_TTL, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_RECVTOS, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_RECVTTL, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_PKTINFO, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_RECVORIGDSTADDR, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_RECVERR, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_MTU_DISCOVER, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_MTU, kGet, kInt, kInt},
    {IPPROTO_IP, IP_FREEBIND, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_MULTICAST_TTL, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_MULTICAST_LOOP, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_MULTICAST_ALL, kBoth, kByte, kInt},
    {IPPROTO_IP, IP_MULTICAST_IF, kBoth, sizeof(in_addr), sizeof(ip_mreqn)},
    {IPPROTO_IP, IP_ADD_MEMBERSHIP, kSet, sizeof(ip_mreq), sizeof(ip_mreqn)},
    {IPPROTO_IP, IP_DROP_MEMBERSHIP, kSet, sizeof(ip_mreq), sizeof(ip_mreqn)},

    {IPPROTO_IPV6, IPV6_V6ONLY, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_MULTICAST_IF, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_JOIN_GROUP, kSet, sizeof(ipv6_mreq), sizeof(ipv6_mreq)},
    {IPPROTO_IPV6, IPV6_LEAVE_GROUP, kSet, sizeof(ipv6_mreq), sizeof(ipv6_mreq)},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_RECVTCLASS, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_TCLASS, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_MTU, kGet, kInt, kInt},
    {IPPROTO_IPV6, IPV6_RECVERR, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_DONTFRAG, kBoth, kInt, kInt},
    {IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, kBoth, kInt, kInt},

    {IPPROTO_UDP, UDP_CORK, kBoth, kInt, kInt},
    {IPPROTO_UDP, UDP_SEGMENT, kBoth, kInt, kInt},
    {IPPROTO_UDP, UDP_GRO, kBoth, kInt, kInt},
};

struct SendableControl {
  int level;
  int type;
  size_t least;
  size_t most;
};

constexpr SendableControl kSendable[] = {
    {IPPROTO_IP, IP_TOS, 1, 4},
    {IPPROTO_IP, IP_TTL, 4, 4},
    {IPPROTO_IP, IP_PKTINFO, sizeof(in_pktinfo), sizeof(in_pktinfo)},
    {IPPROTO_IPV6, IPV6_PKTINFO, sizeof(in6_pktinfo), sizeof(in6_pktinfo)},
    {IPPROTO_IPV6, IPV6_HOPLIMIT, 4, 4},
    {IPPROTO_IPV6, IPV6_TCLASS, 4, 4},
    {IPPROTO_UDP, UDP_SEGMENT, 2, 2},
};

}  // namespace

const HostOption* FindHostOption(int level, int name) {
  for (const HostOption& option : kOptions) {
    if (option.level == level && option.name == name) return &option;
  }
  return nullptr;
}

bool MaySendControl(int level, int type, size_t size) {
  for (const SendableControl& control : kSendable) {
    if (control.level == level && control.type == type) return size >= control.least && size <= control.most;
  }
  return false;
}

bool MayReceiveControl(int level, int type) {
  switch (level) {
    case SOL_SOCKET:
      return type == SCM_TIMESTAMP || type == SCM_TIMESTAMPNS;
    case IPPROTO_IP:
      return type == IP_TOS || type == IP_TTL || type == IP_PKTINFO || type == IP_RECVERR ||
             type == IP_ORIGDSTADDR;
    case IPPROTO_IPV6:
      return type == IPV6_PKTINFO || type == IPV6_HOPLIMIT || type == IPV6_TCLASS || type == IPV6_RECVERR;
    case IPPROTO_UDP:
      return type == UDP_GRO;
    default:
      return false;
  }
}

}  // namespace cloister::net
