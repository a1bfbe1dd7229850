#include "runsc/sandbox/network.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "base/log/log.h"

namespace cloister::sandbox {
namespace {

absl::Status BringLoopbackUp() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.ok()) return HostErrorNow("socket");
  ifreq request = {};
  strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  if (ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return HostErrorNow("SIOCGIFFLAGS lo");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return HostErrorNow("SIOCSIFFLAGS lo");
  return absl::OkStatus();
}

// A kernel without the setting, or a read-only /proc, is no reason to fail.
void WriteSysctl(const std::string& name, const std::string& value) {
  const std::string path = absl::StrCat("/proc/sys/", absl::StrReplaceAll(name, {{".", "/"}, {"/", "."}}));
  if (absl::StrContains(path, "/../")) return;
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.ok() || write(file.get(), value.data(), value.size()) < 0) {
    LOG(kWarning, "cannot set %s to %s: %s", path, value, strerror(errno));
  }
}

}  // namespace

absl::Status SetUpNewNetwork(const std::map<std::string, std::string>& sysctl) {
  RETURN_IF_ERROR(BringLoopbackUp());
  WriteSysctl("net.ipv4.ip_unprivileged_port_start", "0");
  WriteSysctl("net.ipv4.ping_group_range", "0 2147483647");
  for (const auto& [name, value] : sysctl) {
    if (absl::StartsWith(name, "net.")) WriteSysctl(name, value);
  }
  return absl::OkStatus();
}

absl::Status EnterNetwork(const NetworkPlan& plan) {
  if (plan.kind == NetworkKind::kCallers || plan.kind == NetworkKind::kPrivate) return absl::OkStatus();
  if (plan.kind == NetworkKind::kNew) {
    if (unshare(CLONE_NEWNET) != 0) return HostErrorNow("unshare network namespace");
    return SetUpNewNetwork(plan.sysctl);
  }
  const UniqueFd target(open(plan.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!target.ok()) return HostErrorNow(absl::StrCat("linux.namespaces: open ", plan.path));
  if (setns(target.get(), CLONE_NEWNET) != 0) {
    return HostErrorNow(absl::StrCat("linux.namespaces: cannot join ", plan.path));
  }
  return absl::OkStatus();
}

}  // namespace cloister::sandbox
