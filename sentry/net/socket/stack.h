#ifndef CLOISTER_SENTRY_NET_SOCKET_STACK_H_
#define CLOISTER_SENTRY_NET_SOCKET_STACK_H_

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/auth/credentials.h"

namespace cloister::net {

class NetNamespace;
class Socket;

// How a socket is to be made: socket(2).
struct SocketRequest {
  int domain = 0;
  int type = 0;  // SOCK_STREAM …, without the flags
  int protocol = 0;
  int flags = 0;  // O_NONBLOCK
  auth::CredRef cred;
  ucred owner = {};  // who makes it
};

// A network interface and its addresses: netdevice(7), rtnetlink(7).
struct Interface {
  struct Address {
    uint8_t family = 0;  // AF_INET, AF_INET6
    uint8_t prefix = 0;  // bits of the netmask
    std::array<std::byte, 16> address = {};
    std::array<std::byte, 16> broadcast = {};  // or the peer's
    bool has_broadcast = false;
  };
  int index = 0;
  std::string name;
  uint32_t flags = 0;  // IFF_…
  uint32_t mtu = 0;
  uint32_t queue_length = 0;
  uint16_t type = 0;  // ARPHRD_…
  std::array<std::byte, 6> hardware = {};
  std::vector<Address> addresses;
};

// A TCP/IP stack: makes internet sockets and says what interfaces and routes there are. Thread-safe.
class Stack : public RefCounted {
 public:
  // AF_INET or AF_INET6. kProtoNoSupport, kSocktNoSupport, kPerm (raw sockets) as Linux.
  virtual ErrnoOr<Ref<Socket>> MakeSocket(const SocketRequest& request, Ref<NetNamespace> net) = 0;

  virtual ErrnoOr<std::vector<Interface>> Interfaces() = 0;

  // Answers of a NETLINK_ROUTE dump (RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETRULE, RTM_GETNEIGH): each
  // is one whole nlmsghdr with its payload, padded. family: AF_UNSPEC for all.
  using Messages = std::vector<std::vector<std::byte>>;
  virtual ErrnoOr<Messages> RouteDump(uint16_t type, uint8_t family) = 0;
};

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_SOCKET_STACK_H_
