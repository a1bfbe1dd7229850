#include "sentry/fs/sys/net_class.h"

#include <linux/if.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sentry/fs/kernfs/link.h"
#include "sentry/net/socket/net_namespace.h"

namespace cloister::sys {
namespace {

std::vector<net::Interface> Interfaces() {
  const Ref<net::NetNamespace>& sandbox = net::NetNamespace::OfSandbox();
  if (!sandbox || sandbox->stack() == nullptr) return {};
  ErrnoOr<std::vector<net::Interface>> found = sandbox->stack()->Interfaces();
  if (!found.ok()) return {};
  return *std::move(found);
}

std::optional<net::Interface> Find(const std::string& name) {
  for (net::Interface& one : Interfaces())
    if (one.name == name) return std::move(one);
  return std::nullopt;
}

std::string Hardware(const net::Interface& interface) {
  std::string text;
  for (const std::byte byte : interface.hardware)
    absl::StrAppendFormat(&text, "%s%02x", text.empty() ? "" : ":", static_cast<unsigned>(byte));
  return text;
}

// RFC 2863; a loopback device does not know its own.
std::string OperState(const net::Interface& interface) {
  if ((interface.flags & IFF_LOOPBACK) != 0) return "unknown";
  return (interface.flags & IFF_RUNNING) != 0 ? "up" : "down";
}

using Show = std::string (*)(const net::Interface&);
struct Row {
  const char* name;
  Show show;
};
constexpr Row kRows[] = {
    {"address", Hardware},
    {"addr_len", [](const net::Interface&) -> std::string { return "6"; }},
    {"carrier",
     [](const net::Interface& one) -> std::string { return (one.flags & IFF_RUNNING) != 0 ? "1" : "0"; }},
    {"flags", [](const net::Interface& one) { return absl::StrFormat("0x%x", one.flags & 0xffff); }},
    {"ifindex", [](const net::Interface& one) { return absl::StrCat(one.index); }},
    {"iflink", [](const net::Interface& one) { return absl::StrCat(one.index); }},
    {"mtu", [](const net::Interface& one) { return absl::StrCat(one.mtu); }},
    {"operstate", OperState},
    {"tx_queue_len", [](const net::Interface& one) { return absl::StrCat(one.queue_length); }},
    {"type", [](const net::Interface& one) { return absl::StrCat(one.type); }},
    {"uevent",
     [](const net::Interface& one) { return absl::StrCat("INTERFACE=", one.name, "\nIFINDEX=", one.index); }},
};

void FillDevice(const std::string& name, Folder& device) {
  for (const Row& row : kRows) {
    device.AddText(row.name, [name, show = row.show]() -> ErrnoOr<std::string> {
      const std::optional<net::Interface> one = Find(name);
      if (!one) return Errno::kNoDev;
      return show(*one) + "\n";
    });
  }
  device.AddLink("subsystem", "../../../../class/net");
}

}  // namespace

Ref<vfs::Inode> NetDirectory::NodeLocked(const std::string& name) {
  Ref<vfs::Inode>& node = nodes_[name];
  if (!node && shows_ == Shows::kLinks)
    node = MakeRef<kernfs::Link>(tree_ref(), absl::StrCat("../../devices/virtual/net/", name));
  if (!node) node = MakeRef<Folder>(tree_ref(), [name](Folder& device) { FillDevice(name, device); });
  return node;
}

ErrnoOr<Ref<vfs::Inode>> NetDirectory::Lookup(std::string_view name) {
  const std::string key(name);
  const bool exists = Find(key).has_value();
  absl::MutexLock lock(&mu_);
  if (exists) return NodeLocked(key);
  nodes_.erase(key);
  return Errno::kNoEnt;
}

// An interface's cookie follows from its index, which no other ever gets.
ErrnoOrVoid NetDirectory::Emit(int64_t from, EmitFn emit) {
  std::vector<net::Interface> all = Interfaces();
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  for (const net::Interface& one : all) {
    const int64_t cookie = kFirstCookie + one.index;
    if (cookie < from) continue;
    Ref<vfs::Inode> node;
    {
      absl::MutexLock lock(&mu_);
      node = NodeLocked(one.name);
    }
    const struct statx attr = TRY(node->GetAttr());
    if (!emit({attr.stx_ino, kernfs::DirentType(node->type()), one.name, cookie + 1})) break;
  }
  return {};
}

}  // namespace cloister::sys
