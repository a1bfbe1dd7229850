#include "gofer/server/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "base/error/status.h"
#include "base/log/log.h"

namespace cloister::gofer {
namespace {

constexpr rlim_t kWantedFiles = 1 << 20;

struct KeptCapability {
  int number;
  const char* reason;
};

// The sentry has checked the guest's rights: the gofer acts for root and all other users.
constexpr KeptCapability kKept[] = {
    {CAP_CHOWN, "chown"},
    {CAP_DAC_OVERRIDE, "files of every user"},
    {CAP_DAC_READ_SEARCH, "directories of every user, also where root is another file server's guest"},
    {CAP_FOWNER, "chmod, utimes and sticky directories of every user"},
    {CAP_FSETID, "set-id bits stay where the guest's root sets them"},
    {CAP_SETUID, "setfsuid: a new file's owner (setuid itself is not in the filter)"},
    {CAP_SETGID, "setfsgid: a new file's group (likewise)"},
    {CAP_SETFCAP, "security.capability, which packages set"},
};

absl::Status SetCapabilities(uint64_t wanted) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) < 0) return HostErrorNow("capget");
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; ++i) {
    data[i].permitted &= static_cast<uint32_t>(wanted >> (32 * i));
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  if (syscall(SYS_capset, &header, data) < 0) return HostErrorNow("capset");
  return absl::OkStatus();
}

bool HasCapability(int capability) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) < 0) return false;
  return (data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability)) != 0;
}

// What must be done with CAP_SETPCAP.
absl::Status LockSecureBits() {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return HostErrorNow("bounding set");
  }
  const unsigned long bits = SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NOROOT |
                             SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                             SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_KEEP_CAPS_LOCKED;
  if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0) return HostErrorNow("securebits");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint64_t> RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return HostErrorNow("getrlimit");
  const rlimit wanted = {kWantedFiles, std::max(limit.rlim_max, kWantedFiles)};
  if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) return wanted.rlim_cur;
  limit.rlim_cur = std::min(limit.rlim_max, kWantedFiles);
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return HostErrorNow("setrlimit");
  return limit.rlim_cur;
}

absl::Status DropPrivileges(bool device_nodes) {
  umask(0);  // the sentry applies the guest's
  // Fails without CAP_SETGID, and where a user namespace denies it: the groups stay then.
  if (setgroups(0, nullptr) < 0) LOG(kDebug, "supplementary groups are kept");
  if (HasCapability(CAP_SETPCAP)) {
    RETURN_IF_ERROR(LockSecureBits());
  } else {
    LOG(kDebug, "no CAP_SETPCAP: files are made with the rights of their owner alone");
  }
  uint64_t wanted = device_nodes ? uint64_t{1} << CAP_MKNOD : 0;
  for (const KeptCapability& kept : kKept) wanted |= uint64_t{1} << kept.number;
  RETURN_IF_ERROR(SetCapabilities(wanted));
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return HostErrorNow("no_new_privs");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return HostErrorNow("dumpable");
  return absl::OkStatus();
}

}  // namespace cloister::gofer
