#include "sentry/fs/proc/net_directory.h"

#include <dirent.h>

#include <algorithm>

#include "sentry/fs/proc/net_text.h"

namespace cloister::proc {
namespace {

// One file: a text of the whole sandbox, or one that depends on nothing.
struct Item {
  std::string_view name;
  std::string (*of_kernel)(task::Kernel& kernel);
  std::string (*of_stack)();
  const char* fixed;
};

constexpr const char* kSnmp =
    "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards "
    "InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs "
    "FragFails FragCreates\n"
    "Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    "Icmp: InMsgs InErrors InCsumErrors OutMsgs OutErrors\nIcmp: 0 0 0 0 0\n"
    "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab "
    "InSegs "
    "OutSegs RetransSegs InErrs OutRsts InCsumErrors\n"
    "Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0\n"
    "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti "
    "MemErrors\n"
    "Udp: 0 0 0 0 0 0 0 0 0\n";
constexpr const char* kNetstat =
    "TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed EmbryonicRsts PruneCalled\nTcpExt: 0 0 0 0 0\n"
    "IpExt: InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets\n"
    "IpExt: 0 0 0 0 0 0 0 0\n";
constexpr const char* kProtocols =
    "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re sp bi "
    "br "
    "ha uh gp em\n";

constexpr Item kItems[] = {
    {"arp", nullptr, nullptr,
     "IP address       HW type     Flags       HW address            Mask     Device\n"},
    {"dev", nullptr, NetDevText, nullptr},
    {"dev_mcast", nullptr, nullptr, ""},
    {"if_inet6", nullptr, NetIfInet6Text, nullptr},
    {"igmp", nullptr, nullptr, "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"},
    {"netlink", nullptr, nullptr,
     "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"},
    {"netstat", nullptr, nullptr, kNetstat},
    {"packet", nullptr, nullptr, "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"},
    {"protocols", nullptr, nullptr, kProtocols},
    {"psched", nullptr, nullptr, "000003e8 00000040 000f4240 3b9aca00\n"},
    {"ptype", nullptr, nullptr, "Type Device      Function\n"},
    {"raw", NetRawText, nullptr, nullptr},
    {"raw6", NetRaw6Text, nullptr, nullptr},
    {"route", nullptr, NetRouteText, nullptr},
    {"snmp", nullptr, nullptr, kSnmp},
    {"sockstat", NetSockStatText, nullptr, nullptr},
    {"tcp", NetTcpText, nullptr, nullptr},
    {"tcp6", NetTcp6Text, nullptr, nullptr},
    {"udp", NetUdpText, nullptr, nullptr},
    {"udp6", NetUdp6Text, nullptr, nullptr},
    {"unix", NetUnixText, nullptr, nullptr},
    {"wireless", nullptr, nullptr,
     "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
     " face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"},
};

class NetFile final : public SubjectText {
 public:
  NetFile(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec, const Item& item)
      : SubjectText(std::move(tree), subject, spec), item_(item) {}

  ErrnoOr<std::string> Generate() override {
    if (item_.of_kernel != nullptr) return item_.of_kernel(subject().kernel());
    return item_.of_stack != nullptr ? item_.of_stack() : std::string(item_.fixed);
  }
  // The network namespace's, not the process'.
  ErrnoOr<vfs::Ownership> GetOwnership() override { return TextInode::GetOwnership(); }

 private:
  const Item& item_;  // of the table
};

class NetDirectory final : public SubjectDirectory {
 public:
  using SubjectDirectory::SubjectDirectory;

  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override {
    const auto count = static_cast<int64_t>(std::size(kItems));
    for (int64_t i = std::max<int64_t>(0, from - kFirstCookie); i < count; ++i)
      if (!emit({NumberOf(kItems[i]), DT_REG, kItems[i].name, i + kFirstCookie + 1})) break;
    return {};
  }

 protected:
  ErrnoOr<Ref<vfs::Inode>> Make(std::string_view name) override {
    const auto* const found = std::find_if(std::begin(kItems), std::end(kItems),
                                           [&](const Item& item) { return item.name == name; });
    if (found == std::end(kItems)) return Errno::kNoEnt;
    const kernfs::NodeSpec spec{.mode = 0444, .inode = NumberOf(*found)};
    return Ref<vfs::Inode>(MakeRef<NetFile>(tree_ref(), subject(), spec, *found));
  }

 private:
  uint64_t NumberOf(const Item& item) const {
    return subject().InodeNumber(Subject::Section::kNet, static_cast<uint32_t>(&item - kItems));
  }
};

}  // namespace

Ref<vfs::Inode> MakeNetDirectory(Ref<kernfs::Tree> tree, const Subject& subject,
                                 const kernfs::NodeSpec& spec) {
  return MakeRef<NetDirectory>(std::move(tree), subject, spec);
}

}  // namespace cloister::proc
