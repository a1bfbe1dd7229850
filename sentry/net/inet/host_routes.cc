#include "sentry/net/inet/host_routes.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "absl/functional/function_ref.h"
#include "base/error/status.h"

namespace cloister::net {
namespace {

constexpr size_t kAnswerSize = 64 << 10;
constexpr size_t kMostMessages = 100'000;

using Bytes = std::span<const std::byte>;

// The T at the start of bytes; false if there are too few.
template <typename T>
bool Head(Bytes bytes, T* head) {
  if (bytes.size() < sizeof(T)) return false;
  memcpy(head, bytes.data(), sizeof(T));
  return true;
}

size_t Aligned(size_t size) { return (size + 3) & ~size_t{3}; }

// Calls each with type and value of the attributes in bytes.
void ForEachAttribute(Bytes bytes, absl::FunctionRef<void(uint16_t, Bytes)> each) {
  rtattr head;
  while (Head(bytes, &head) && head.rta_len >= sizeof head && head.rta_len <= bytes.size()) {
    each(head.rta_type, bytes.subspan(sizeof head, head.rta_len - sizeof head));
    bytes = bytes.subspan(std::min(Aligned(head.rta_len), bytes.size()));
  }
}

// The T behind the nlmsghdr and the attributes behind that.
template <typename T>
bool Split(const std::vector<std::byte>& message, T* body, Bytes* attributes) {
  if (message.size() < NLMSG_HDRLEN + sizeof(T)) return false;
  const Bytes payload = Bytes(message).subspan(NLMSG_HDRLEN);
  memcpy(body, payload.data(), sizeof(T));
  *attributes = payload.subspan(std::min(Aligned(sizeof(T)), payload.size()));
  return true;
}

template <size_t N>
void CopyTo(Bytes value, std::array<std::byte, N>* out) {
  std::copy_n(value.begin(), std::min(value.size(), N), out->begin());
}

bool ParseLink(const std::vector<std::byte>& message, Interface* interface) {
  ifinfomsg body;
  Bytes attributes;
  if (!Split(message, &body, &attributes)) return false;
  interface->index = body.ifi_index;
  interface->flags = body.ifi_flags;
  interface->type = body.ifi_type;
  ForEachAttribute(attributes, [interface](uint16_t type, Bytes value) {
    switch (type) {
      case IFLA_IFNAME:
        interface->name.assign(reinterpret_cast<const char*>(value.data()),
                               strnlen(reinterpret_cast<const char*>(value.data()), value.size()));
        break;
      case IFLA_MTU:
        Head(value, &interface->mtu);
        break;
      case IFLA_TXQLEN:
        Head(value, &interface->queue_length);
        break;
      case IFLA_ADDRESS:
        CopyTo(value, &interface->hardware);
        break;
      default:
        break;
    }
  });
  return true;
}

bool ParseAddress(const std::vector<std::byte>& message, int* index, Interface::Address* address) {
  ifaddrmsg body;
  Bytes attributes;
  if (!Split(message, &body, &attributes)) return false;
  *index = static_cast<int>(body.ifa_index);
  address->family = body.ifa_family;
  address->prefix = body.ifa_prefixlen;
  bool has_local = false;
  ForEachAttribute(attributes, [&](uint16_t type, Bytes value) {
    switch (type) {
      case IFA_LOCAL:  // of a point-to-point link IFA_ADDRESS is the other end
        has_local = true;
        CopyTo(value, &address->address);
        break;
      case IFA_ADDRESS:
        if (!has_local) CopyTo(value, &address->address);
        break;
      case IFA_BROADCAST:
        address->has_broadcast = true;
        CopyTo(value, &address->broadcast);
        break;
      default:
        break;
    }
  });
  return true;
}

}  // namespace

absl::StatusOr<UniqueFd> HostRoutes::OpenSocket() {
  UniqueFd host(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!host.ok()) return HostErrorNow("netlink socket");
  return host;
}

ErrnoOrVoid HostRoutes::Request(uint16_t type, uint8_t family) {
  struct {
    nlmsghdr header;
    ifinfomsg body;  // the longest of the bodies: all begin with the family and take zeros behind it
  } request = {};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.header.nlmsg_seq = ++sequence_;
  request.body.ifi_family = family;
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  iovec piece = {&request, sizeof request};
  msghdr message = {};
  message.msg_name = &kernel;
  message.msg_namelen = sizeof kernel;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (sendmsg(host_.get(), &message, 0) < 0) return FromHostErrno(errno);
  return {};
}

// One recvmsg(2); true when the dump is complete. The kernel makes each part when the one before is
// read, so there is nothing to wait for.
ErrnoOr<bool> HostRoutes::ReadAnswers(Stack::Messages* messages) {
  std::vector<std::byte> buffer(kAnswerSize);
  iovec piece = {buffer.data(), buffer.size()};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const ssize_t got = recvmsg(host_.get(), &message, 0);
  if (got < 0) return errno == EAGAIN ? Errno::kIo : FromHostErrno(errno);
  Bytes bytes = Bytes(buffer).first(static_cast<size_t>(got));
  nlmsghdr head;
  while (Head(bytes, &head) && head.nlmsg_len >= sizeof head && head.nlmsg_len <= bytes.size()) {
    const Bytes whole = bytes.first(head.nlmsg_len);
    bytes = bytes.subspan(std::min(Aligned(head.nlmsg_len), bytes.size()));
    if (head.nlmsg_seq != sequence_) continue;  // left over from a request that failed
    if (head.nlmsg_type == NLMSG_DONE) return true;
    if (head.nlmsg_type == NLMSG_ERROR) {
      nlmsgerr error;
      if (!Head(whole.subspan(NLMSG_HDRLEN), &error) || error.error >= 0) return Errno::kIo;
      return FromHostErrno(-error.error);
    }
    if (messages->size() >= kMostMessages) return Errno::kNoBufs;
    messages->emplace_back(whole.begin(), whole.end());
    messages->back().resize(Aligned(head.nlmsg_len));
  }
  return false;
}

ErrnoOr<Stack::Messages> HostRoutes::Dump(uint16_t type, uint8_t family) {
  Stack::Messages messages;
  absl::MutexLock lock(&mu_);
  TRY_VOID(Request(type, family));
  while (!TRY(ReadAnswers(&messages))) {
  }
  return messages;
}

std::vector<Interface> ParseInterfaces(const Stack::Messages& links, const Stack::Messages& addresses) {
  std::vector<Interface> interfaces;
  for (const std::vector<std::byte>& message : links) {
    Interface interface;
    if (ParseLink(message, &interface)) interfaces.push_back(std::move(interface));
  }
  for (const std::vector<std::byte>& message : addresses) {
    int index;
    Interface::Address address;
    if (!ParseAddress(message, &index, &address)) continue;
    for (Interface& interface : interfaces) {
      if (interface.index == index) interface.addresses.push_back(address);
    }
  }
  return interfaces;
}

}  // namespace cloister::net
