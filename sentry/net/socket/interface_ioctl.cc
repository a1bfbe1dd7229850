#include "sentry/net/socket/interface_ioctl.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "sentry/usermem/user_ptr.h"

namespace cloister::net {
namespace {

using usermem::UserPtr;

void SetName(ifreq* request, const std::string& name) {
  memset(request->ifr_name, 0, sizeof request->ifr_name);
  memcpy(request->ifr_name, name.data(), std::min(name.size(), sizeof request->ifr_name - 1));
}

std::string NameOf(const ifreq& request) {
  return std::string(request.ifr_name, strnlen(request.ifr_name, sizeof request.ifr_name));
}

// The interface's first IPv4 address, or null.
const Interface::Address* FirstInet(const Interface& interface) {
  for (const Interface::Address& address : interface.addresses) {
    if (address.family == AF_INET) return &address;
  }
  return nullptr;
}

sockaddr ToSockaddr(uint32_t network_order) {
  sockaddr_in in = {};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = network_order;
  sockaddr result;
  static_assert(sizeof(result) == sizeof(in));
  memcpy(&result, &in, sizeof result);
  return result;
}

uint32_t FirstWord(const std::array<std::byte, 16>& bytes) {
  uint32_t word;
  memcpy(&word, bytes.data(), sizeof word);
  return word;
}

uint32_t Netmask(uint8_t prefix) {
  return prefix == 0 ? 0 : htonl(~uint32_t{0} << (32 - std::min<uint8_t>(prefix, 32)));
}

// SIOCGIFCONF: an ifreq for each IPv4 address, as many as fit.
ErrnoOr<int64_t> GetConf(std::span<const Interface> interfaces, const vfs::IoctlRequest& request) {
  const UserPtr<ifconf> where(request.arg);
  ifconf conf = TRY(usermem::CopyIn(request.space, where));
  std::vector<ifreq> list;
  for (const Interface& interface : interfaces) {
    const Interface::Address* address = FirstInet(interface);
    if (address == nullptr) continue;
    ifreq entry = {};
    SetName(&entry, interface.name);
    entry.ifr_addr = ToSockaddr(FirstWord(address->address));
    list.push_back(entry);
  }
  if (conf.ifc_buf != nullptr) {
    const size_t room = conf.ifc_len < 0 ? 0 : static_cast<size_t>(conf.ifc_len) / sizeof(ifreq);
    list.resize(std::min(list.size(), room));
    TRY_VOID(usermem::CopyOutArray(request.space, UserPtr<ifreq>(reinterpret_cast<uint64_t>(conf.ifc_req)),
                                   std::span<const ifreq>(list)));
  }
  conf.ifc_len = static_cast<int>(list.size() * sizeof(ifreq));
  TRY_VOID(usermem::CopyOut(request.space, where, conf));
  return 0;
}

// Fills the field that command asks for.
ErrnoOrVoid Answer(uint32_t command, const Interface& interface, ifreq* entry) {
  const Interface::Address* inet = FirstInet(interface);
  switch (command) {
    case SIOCGIFNAME:
      SetName(entry, interface.name);
      return {};
    case SIOCGIFINDEX:
      entry->ifr_ifindex = interface.index;
      return {};
    case SIOCGIFFLAGS:
      entry->ifr_flags = static_cast<short>(interface.flags);
      return {};
    case SIOCGIFMTU:
      entry->ifr_mtu = static_cast<int>(interface.mtu);
      return {};
    case SIOCGIFMETRIC:
      entry->ifr_metric = 0;
      return {};
    case SIOCGIFTXQLEN:
      entry->ifr_qlen = static_cast<int>(interface.queue_length);
      return {};
    case SIOCGIFHWADDR:
      memset(&entry->ifr_hwaddr, 0, sizeof entry->ifr_hwaddr);
      entry->ifr_hwaddr.sa_family = interface.type;
      memcpy(entry->ifr_hwaddr.sa_data, interface.hardware.data(), interface.hardware.size());
      return {};
    default:
      break;
  }
  if (inet == nullptr) return Errno::kAddrNotAvail;
  switch (command) {
    case SIOCGIFADDR:
      entry->ifr_addr = ToSockaddr(FirstWord(inet->address));
      return {};
    case SIOCGIFDSTADDR:
      entry->ifr_addr = ToSockaddr(FirstWord(inet->has_broadcast ? inet->address : inet->broadcast));
      return {};
    case SIOCGIFBRDADDR:
      entry->ifr_addr = ToSockaddr(inet->has_broadcast ? FirstWord(inet->broadcast) : 0);
      return {};
    case SIOCGIFNETMASK:
      entry->ifr_addr = ToSockaddr(Netmask(inet->prefix));
      return {};
    default:
      return Errno::kNotTy;
  }
}

bool Reads(uint32_t command) {
  switch (command) {
    case SIOCGIFCONF:
    case SIOCGIFNAME:
    case SIOCGIFINDEX:
    case SIOCGIFFLAGS:
    case SIOCGIFADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFBRDADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFMTU:
    case SIOCGIFHWADDR:
    case SIOCGIFTXQLEN:
    case SIOCGIFMETRIC:
      return true;
    default:
      return false;
  }
}

bool Changes(uint32_t command) {
  switch (command) {
    case SIOCADDRT:
    case SIOCDELRT:
    case SIOCSIFFLAGS:
    case SIOCSIFADDR:
    case SIOCSIFNETMASK:
    case SIOCSIFBRDADDR:
    case SIOCSIFDSTADDR:
    case SIOCSIFMTU:
    case SIOCSIFHWADDR:
    case SIOCSIFNAME:
    case SIOCSIFTXQLEN:
    case SIOCSIFMETRIC:
      return true;
    default:
      return false;
  }
}

}  // namespace

ErrnoOr<int64_t> InterfaceIoctl(Stack& stack, const vfs::IoctlRequest& request) {
  if (Changes(request.command)) return Errno::kPerm;
  if (!Reads(request.command)) return Errno::kNotTy;
  const std::vector<Interface> interfaces = TRY(stack.Interfaces());
  if (request.command == SIOCGIFCONF) return GetConf(interfaces, request);
  const UserPtr<ifreq> where(request.arg);
  ifreq entry = TRY(usermem::CopyIn(request.space, where));
  const std::string name = NameOf(entry);
  const bool by_index = request.command == SIOCGIFNAME;
  const auto found = std::find_if(interfaces.begin(), interfaces.end(), [&](const Interface& interface) {
    return by_index ? interface.index == entry.ifr_ifindex : interface.name == name;
  });
  if (found == interfaces.end()) return Errno::kNoDev;
  TRY_VOID(Answer(request.command, *found, &entry));
  TRY_VOID(usermem::CopyOut(request.space, where, entry));
  return 0;
}

}  // namespace cloister::net
