#include "runsc/sandbox/network.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
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

constexpr size_t kHelperStackBytes = 256 << 10;

absl::Status EnterNetwork(const NetworkPlan& plan) {
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

// What the helper process does, in memory that it shares with the waiting caller.
struct Visit {
  const NetworkPlan& plan;
  const std::function<absl::Status(uint64_t)>& body;
  absl::Status status;
};

int RunVisit(void* argument) {
  Visit& visit = *static_cast<Visit*>(argument);
  visit.status = EnterNetwork(visit.plan);
  if (visit.status.ok()) visit.status = visit.body(CLONE_PARENT);
  _exit(0);
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

absl::Status RunInNetwork(const NetworkPlan& plan,
                          const std::function<absl::Status(uint64_t clone_flags)>& body) {
  if (plan.kind != NetworkKind::kJoined && plan.kind != NetworkKind::kNew) return body(0);
  Visit visit{plan, body, absl::InternalError("the helper process died")};
  void* stack = mmap(nullptr, kHelperStackBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return HostErrorNow("mmap");
  const pid_t helper = clone(RunVisit, static_cast<char*>(stack) + kHelperStackBytes,
                             CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, &visit);
  if (helper < 0) {
    visit.status = HostErrorNow("clone");
  } else {
    while (waitpid(helper, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  munmap(stack, kHelperStackBytes);
  return visit.status;
}

}  // namespace cloister::sandbox
