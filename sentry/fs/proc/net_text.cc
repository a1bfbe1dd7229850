#include "sentry/fs/proc/net_text.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sentry/net/socket/net_namespace.h"

namespace cloister::proc {
namespace {

net::Stack* StackOfSandbox() {
  const Ref<net::NetNamespace>& sandbox = net::NetNamespace::OfSandbox();
  return sandbox ? sandbox->stack() : nullptr;
}

std::vector<net::Interface> Interfaces() {
  net::Stack* const stack = StackOfSandbox();
  if (stack == nullptr) return {};
  ErrnoOr<std::vector<net::Interface>> found = stack->Interfaces();
  return found.ok() ? *std::move(found) : std::vector<net::Interface>();
}

std::string NameOf(const std::vector<net::Interface>& interfaces, uint32_t index) {
  for (const net::Interface& one : interfaces)
    if (static_cast<uint32_t>(one.index) == index) return one.name;
  return "*";
}

// Attributes of one message, by type: those of four bytes.
struct Route {
  uint32_t destination = 0, gateway = 0, interface = 0, priority = 0;
  uint8_t prefix = 0;
  bool shown = false;  // unicast, of the main table
};

// Sizes are checked: the stack may pass on what another kernel said.
Route ParseRoute(const std::vector<std::byte>& message) {
  Route route;
  constexpr size_t kHead = NLMSG_LENGTH(sizeof(rtmsg));
  if (message.size() < kHead) return route;
  rtmsg head;
  memcpy(&head, message.data() + NLMSG_HDRLEN, sizeof head);
  if (head.rtm_family != AF_INET) return route;
  route.prefix = std::min<uint8_t>(head.rtm_dst_len, 32);
  route.shown = head.rtm_table == RT_TABLE_MAIN && head.rtm_type == RTN_UNICAST;
  for (size_t at = NLMSG_ALIGN(kHead); at + sizeof(rtattr) <= message.size();) {
    rtattr attribute;
    memcpy(&attribute, message.data() + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > message.size() - at) break;
    uint32_t value = 0;
    if (attribute.rta_len >= RTA_LENGTH(sizeof value))
      memcpy(&value, message.data() + at + RTA_LENGTH(0), sizeof value);
    if (attribute.rta_type == RTA_DST) route.destination = value;
    if (attribute.rta_type == RTA_GATEWAY) route.gateway = value;
    if (attribute.rta_type == RTA_OIF) route.interface = value;
    if (attribute.rta_type == RTA_PRIORITY) route.priority = value;
    at += RTA_ALIGN(attribute.rta_len);
  }
  return route;
}

}  // namespace

// Packets are not counted here.
std::string NetDevText() {
  std::string text =
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|"
      "bytes    packets errs drop fifo colls carrier compressed\n";
  for (const net::Interface& one : Interfaces())
    absl::StrAppendFormat(&text, "%6s: %7d %7d %4d %4d %4d %5d %10d %9d %8d %7d %4d %4d %4d %5d %7d %10d\n",
                          one.name, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  return text;
}

// Linux: fib_route_seq_show, lines of 127 characters.
std::string NetRouteText() {
  constexpr size_t kWidth = 127;
  std::string text = absl::StrFormat("%-127s\n",
                                     "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU"
                                     "\tWindow\tIRTT");
  net::Stack* const stack = StackOfSandbox();
  if (stack == nullptr) return text;
  const ErrnoOr<net::Stack::Messages> messages = stack->RouteDump(RTM_GETROUTE, AF_INET);
  if (!messages.ok()) return text;
  const std::vector<net::Interface> interfaces = Interfaces();
  for (const std::vector<std::byte>& message : *messages) {
    const Route route = ParseRoute(message);
    if (!route.shown) continue;
    const uint32_t mask = route.prefix == 0 ? 0 : htonl(~uint32_t{0} << (32 - route.prefix));
    const int flags = RTF_UP | (route.gateway != 0 ? RTF_GATEWAY : 0) | (route.prefix == 32 ? RTF_HOST : 0);
    std::string line = absl::StrFormat("%s\t%08X\t%08X\t%04X\t%d\t%u\t%d\t%08X\t%d\t%u\t%u",
                                       NameOf(interfaces, route.interface), route.destination, route.gateway,
                                       flags, 0, 0, route.priority, mask, 0, 0, 0);
    if (line.size() < kWidth) line.resize(kWidth, ' ');
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

std::string NetIfInet6Text() {
  std::string text;
  for (const net::Interface& one : Interfaces()) {
    for (const net::Interface::Address& address : one.addresses) {
      if (address.family != AF_INET6) continue;
      for (const std::byte byte : address.address)
        absl::StrAppendFormat(&text, "%02x", std::to_integer<int>(byte));
      const bool link_local =
          address.address[0] == std::byte{0xfe} && (address.address[1] & std::byte{0xc0}) == std::byte{0x80};
      const int scope = (one.flags & IFF_LOOPBACK) != 0 ? 0x10 : link_local ? 0x20 : 0;
      absl::StrAppendFormat(&text, " %02x %02x %02x %02x %8s\n", one.index, address.prefix, scope,
                            IFA_F_PERMANENT, one.name);
    }
  }
  return text;
}

}  // namespace cloister::proc
