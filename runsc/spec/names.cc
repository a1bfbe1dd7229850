#include "runsc/spec/names.h"

#include <sys/mount.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runsc/spec/spec.h"

namespace cloister::spec {
namespace {

// capabilities(7) in the order of their numbers.
constexpr std::array kCapabilities = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
static_assert(kCapabilities.size() == 41);

struct NamedRlimit {
  std::string_view name;
  uint32_t number;
};
constexpr NamedRlimit kRlimits[] = {
    {"RLIMIT_CPU", RLIMIT_CPU},           {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_DATA", RLIMIT_DATA},         {"RLIMIT_STACK", RLIMIT_STACK},
    {"RLIMIT_CORE", RLIMIT_CORE},         {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_NPROC", RLIMIT_NPROC},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},   {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},       {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},     {"RLIMIT_RTTIME", RLIMIT_RTTIME},
};

// mount(8)'s words. An option clears before it sets.
struct MountFlag {
  std::string_view name;
  uint64_t clear;
  uint64_t set;
};
constexpr uint64_t kAtimeFlags = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;
constexpr MountFlag kMountFlags[] = {
    {"defaults", 0, 0},
    {"ro", 0, MS_RDONLY},
    {"rw", MS_RDONLY, 0},
    {"nosuid", 0, MS_NOSUID},
    {"suid", MS_NOSUID, 0},
    {"nodev", 0, MS_NODEV},
    {"dev", MS_NODEV, 0},
    {"noexec", 0, MS_NOEXEC},
    {"exec", MS_NOEXEC, 0},
    {"sync", 0, MS_SYNCHRONOUS},
    {"async", MS_SYNCHRONOUS, 0},
    {"dirsync", 0, MS_DIRSYNC},
    {"mand", 0, MS_MANDLOCK},
    {"nomand", MS_MANDLOCK, 0},
    {"remount", 0, 0},
    {"atime", MS_NOATIME, 0},
    {"noatime", kAtimeFlags, MS_NOATIME},
    {"diratime", MS_NODIRATIME, 0},
    {"nodiratime", 0, MS_NODIRATIME},
    {"relatime", kAtimeFlags, MS_RELATIME},
    {"norelatime", MS_RELATIME, 0},
    {"strictatime", kAtimeFlags, MS_STRICTATIME},
    {"nostrictatime", MS_STRICTATIME, 0},
    {"iversion", 0, MS_I_VERSION},
    {"noiversion", MS_I_VERSION, 0},
    {"acl", 0, 0},
    {"noacl", 0, 0},
    {"silent", 0, 0},
    {"loud", 0, 0},
    // Recursive attributes act on the mounts below a bind; there the gofer serves one tree.
    {"rro", 0, MS_RDONLY},
    {"rrw", MS_RDONLY, 0},
    {"rnosuid", 0, MS_NOSUID},
    {"rsuid", MS_NOSUID, 0},
    {"rnodev", 0, MS_NODEV},
    {"rdev", MS_NODEV, 0},
    {"rnoexec", 0, MS_NOEXEC},
    {"rexec", MS_NOEXEC, 0},
    {"ratime", 0, 0},
    {"rnoatime", kAtimeFlags, MS_NOATIME},
    {"rrelatime", kAtimeFlags, MS_RELATIME},
    {"rstrictatime", kAtimeFlags, MS_STRICTATIME},
    {"rdiratime", MS_NODIRATIME, 0},
    {"rnodiratime", 0, MS_NODIRATIME},
};

// Host-side notions without a meaning in the sandbox.
constexpr std::string_view kIgnoredOptions[] = {
    "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable", "tmpcopyup",
    "idmap",   "ridmap",   "copy",  "nocopy", "z",      "Z",       "U",          "newinstance",
};

}  // namespace

std::optional<int> CapabilityNumber(std::string_view name) {
  std::string upper = absl::AsciiStrToUpper(absl::string_view(name.data(), name.size()));
  const absl::string_view bare = absl::StripPrefix(upper, "CAP_");
  const auto found = std::find(kCapabilities.begin(), kCapabilities.end(), bare);
  if (found == kCapabilities.end()) return std::nullopt;
  return static_cast<int>(found - kCapabilities.begin());
}

std::optional<uint32_t> RlimitNumber(std::string_view name) {
  for (const NamedRlimit& limit : kRlimits) {
    if (limit.name == name) return limit.number;
  }
  return std::nullopt;
}

std::string CleanPath(std::string_view path) {
  std::vector<std::string_view> parts;
  for (absl::string_view part : absl::StrSplit(absl::string_view(path.data(), path.size()), '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
      continue;
    }
    parts.emplace_back(part.data(), part.size());
  }
  std::string clean;
  for (std::string_view part : parts) clean.append("/").append(part);
  return clean.empty() ? "/" : clean;
}

std::vector<std::string> MountOptionNames() {
  std::vector<std::string> names = {"bind", "rbind"};
  for (const MountFlag& flag : kMountFlags) names.emplace_back(flag.name);
  for (const std::string_view name : kIgnoredOptions) names.emplace_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> CapabilityNames() {
  std::vector<std::string> names;
  for (const char* name : kCapabilities) names.push_back(std::string("CAP_") + name);
  return names;
}

void ParseMountOptions(const std::vector<std::string>& options, Mount* mount) {
  for (const std::string& option : options) {
    if (option == "bind" || option == "rbind") {
      mount->bind = true;
      mount->recursive |= option == "rbind";
      continue;
    }
    const auto flag = std::find_if(std::begin(kMountFlags), std::end(kMountFlags),
                                   [&](const MountFlag& known) { return known.name == option; });
    if (flag != std::end(kMountFlags)) {
      mount->flags = (mount->flags & ~flag->clear) | flag->set;
      continue;
    }
    const bool ignored = std::find(std::begin(kIgnoredOptions), std::end(kIgnoredOptions), option) !=
                         std::end(kIgnoredOptions);
    if (!ignored && !option.empty()) mount->options.push_back(option);
  }
}

}  // namespace cloister::spec
