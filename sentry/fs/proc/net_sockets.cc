// Tables of sockets: those that processes have open.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <cstring>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sentry/fs/proc/net_text.h"
#include "sentry/fs/proc/subject.h"
#include "sentry/net/socket/socket.h"

namespace cloister::proc {
namespace {

constexpr size_t kInetWidth = 149;  // Linux: TMPSZ - 1

using Sockets = std::map<uint64_t, Ref<vfs::FileDescription>>;  // by inode number, each once

// Descriptors of all processes, those of one family and type. type 0: all types.
Sockets FindSockets(task::Kernel& kernel, int domain, int type) {
  Sockets sockets;
  for (const Ref<task::ThreadGroup>& group : kernel.Groups()) {
    const Ref<vfs::FdTable> files = Subject::OfProcess(group).Files();
    if (!files) continue;
    for (const int fd : files->Numbers()) {
      ErrnoOr<Ref<vfs::FileDescription>> file = files->Get(fd);
      if (!file.ok()) continue;
      const net::Socket* const socket = (*file)->AsSocket();
      if (socket == nullptr || socket->domain() != domain || (type != 0 && socket->type() != type)) continue;
      sockets.emplace(socket->inode_number(), *std::move(file));
    }
  }
  return sockets;
}

bool IsListening(net::Socket& socket) {
  const ErrnoOr<net::OptionValue> value = socket.GetOption(SOL_SOCKET, SO_ACCEPTCONN, sizeof(int));
  if (!value.ok()) return false;
  const ErrnoOr<int> on = net::FromOption<int>(*value);
  return on.ok() && *on != 0;
}

// Words of the address as they lie in memory, and the port in order.
std::string AddressText(const net::SocketAddress& address, int domain) {
  if (domain == AF_INET) {
    const auto inet = address.As<sockaddr_in>();
    return absl::StrFormat("%08X:%04X", inet.sin_addr.s_addr, ntohs(inet.sin_port));
  }
  const auto inet6 = address.As<sockaddr_in6>();
  uint32_t words[4];
  memcpy(words, &inet6.sin6_addr, sizeof words);
  return absl::StrFormat("%08X%08X%08X%08X:%04X", words[0], words[1], words[2], words[3],
                         ntohs(inet6.sin6_port));
}

std::string InetText(task::Kernel& kernel, int domain, int type) {
  const bool wide = domain == AF_INET6;
  const char* const what = wide
                               ? "local_address                         remote_address                       "
                               : "local_address rem_address  ";
  const char* const tail =
      type == SOCK_STREAM
          ? " st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
          : " st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
  std::string text = absl::StrCat("  sl  ", what, tail);
  if (!wide && text.size() < kInetWidth) text.resize(kInetWidth, ' ');
  text += '\n';
  int line_number = 0;
  for (const auto& [number, file] : FindSockets(kernel, domain, type)) {
    net::Socket& socket = *file->AsSocket();
    const ErrnoOr<net::SocketAddress> local = socket.GetSockName();
    const ErrnoOr<net::SocketAddress> peer = socket.GetPeerName();
    const net::SocketAddress none;
    const int state = peer.ok() ? TCP_ESTABLISHED : IsListening(socket) ? TCP_LISTEN : TCP_CLOSE;
    std::string line = absl::StrFormat("%4d: %s %s %02X %08X:%08X %02X:%08X %08X %5u %8d %u %d %016x",
                                       line_number++, AddressText(local.ok() ? *local : none, domain),
                                       AddressText(peer.ok() ? *peer : none, domain), state, 0, 0, 0, 0, 0,
                                       socket.owner().uid, 0, number, 1, 0);
    line += type == SOCK_STREAM ? " 100 0 0 10 0" : " 0";
    if (!wide && line.size() < kInetWidth) line.resize(kInetWidth, ' ');
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace

std::string NetTcpText(task::Kernel& kernel) { return InetText(kernel, AF_INET, SOCK_STREAM); }
std::string NetTcp6Text(task::Kernel& kernel) { return InetText(kernel, AF_INET6, SOCK_STREAM); }
std::string NetUdpText(task::Kernel& kernel) { return InetText(kernel, AF_INET, SOCK_DGRAM); }
std::string NetUdp6Text(task::Kernel& kernel) { return InetText(kernel, AF_INET6, SOCK_DGRAM); }
std::string NetRawText(task::Kernel& kernel) { return InetText(kernel, AF_INET, SOCK_RAW); }
std::string NetRaw6Text(task::Kernel& kernel) { return InetText(kernel, AF_INET6, SOCK_RAW); }

// Linux: unix_seq_show. Abstract names begin with '@', and so do the NULs in them.
std::string NetUnixText(task::Kernel& kernel) {
  constexpr int kUnconnected = 1, kConnected = 3;  // SS_…
  constexpr uint32_t kAcceptsConnections = 1 << 16;
  std::string text = "Num       RefCount Protocol Flags    Type St Inode Path\n";
  for (const auto& [number, file] : FindSockets(kernel, AF_UNIX, 0)) {
    net::Socket& socket = *file->AsSocket();
    const bool listening = IsListening(socket);
    const int state = socket.GetPeerName().ok() ? kConnected : kUnconnected;
    absl::StrAppendFormat(&text, "%016x: %08X %08X %08X %04X %02X %5u", 0, 2, 0,
                          listening ? kAcceptsConnections : 0, socket.type(), state, number);
    const ErrnoOr<net::SocketAddress> name = socket.GetSockName();
    if (name.ok() && name->size() > sizeof(sa_family_t)) {
      const std::span<const std::byte> bytes = name->bytes().subspan(sizeof(sa_family_t));
      std::string path(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      const bool abstract = path[0] == '\0';
      if (!abstract) path.resize(std::min(path.size(), path.find('\0')));
      std::replace(path.begin(), path.end(), '\0', '@');
      absl::StrAppend(&text, " ", path);
    }
    text += '\n';
  }
  return text;
}

std::string NetSockStatText(task::Kernel& kernel) {
  const size_t tcp = FindSockets(kernel, AF_INET, SOCK_STREAM).size();
  const size_t udp = FindSockets(kernel, AF_INET, SOCK_DGRAM).size();
  const size_t raw = FindSockets(kernel, AF_INET, SOCK_RAW).size();
  const size_t all = tcp + udp + raw + FindSockets(kernel, AF_INET6, 0).size() +
                     FindSockets(kernel, AF_UNIX, 0).size() + FindSockets(kernel, AF_NETLINK, 0).size();
  return absl::StrCat("sockets: used ", all, "\nTCP: inuse ", tcp, " orphan 0 tw 0 alloc ", tcp,
                      " mem 0\nUDP: inuse ", udp, " mem 0\nUDPLITE: inuse 0\nRAW: inuse ", raw,
                      "\nFRAG: inuse 0 memory 0\n");
}

}  // namespace cloister::proc
