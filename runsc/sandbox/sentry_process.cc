#include "runsc/sandbox/sentry_process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "runsc/sandbox/lockdown.h"
#include "runsc/sandbox/process.h"

namespace cloister::sandbox {
namespace {

constexpr uint64_t kNamespaces =
    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
constexpr size_t kMaxErrorBytes = 4096;

// A memfd with the configuration, at its beginning.
absl::StatusOr<UniqueFd> MakeConfigFd(const control::BootConfig& config) {
  UniqueFd file(memfd_create("boot-config", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.ok()) return HostErrorNow("memfd_create");
  const std::string bytes = config.SerializeAsString();
  if (pwrite(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return HostErrorNow("write the sentry's configuration");
  }
  fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  return file;
}

std::vector<PlacedFd> PlanFds(const SentryOptions& options, int config, int ready) {
  std::vector<PlacedFd> fds = {
      {config, control::BOOT_FD_CONFIG},
      {options.gofer_channel, control::BOOT_FD_GOFER},
      {options.control_socket, control::BOOT_FD_CONTROL},
      {ready, control::BOOT_FD_READY},
      {options.monitor, control::BOOT_FD_MONITOR},
  };
  if (options.log >= 0) fds.push_back({options.log, control::BOOT_FD_LOG});
  for (size_t i = 0; i < options.stdio.size(); ++i) {
    fds.push_back({options.stdio[i], control::BOOT_FD_STDIO_FIRST + static_cast<int>(i)});
  }
  for (size_t i = 0; i < options.preserved.size(); ++i) {
    fds.push_back({options.preserved[i], control::BOOT_FD_PRESERVED_FIRST + static_cast<int>(i)});
  }
  return fds;
}

absl::Status PrepareSentry(const NetworkPlan& network, bool has_log) {
  if (!has_log) {
    UniqueFd null(open("/dev/null", O_WRONLY));
    if (!null.ok()) return HostErrorNow("open /dev/null");
    if (null.get() == control::BOOT_FD_LOG) {
      static_cast<void>(null.Release());
    } else if (dup2(null.get(), control::BOOT_FD_LOG) < 0) {
      return HostErrorNow("dup2 of /dev/null");
    }
  }
  if (network.kind == NetworkKind::kPrivate) RETURN_IF_ERROR(SetUpNewNetwork(network.sysctl));
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);  // what a guest holds in memory is not the host's to see
  RETURN_IF_ERROR(EnterEmptyRoot());
  RETURN_IF_ERROR(BecomeUnprivileged());
  return DropAllCapabilities();
}

}  // namespace

absl::StatusOr<SentryProcess> StartSentry(const SentryOptions& options) {
  const UniqueFd config = TRY_STATUS(MakeConfigFd(options.config));
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return HostErrorNow("pipe2");
  UniqueFd ready_read(ends[0]), ready_write(ends[1]);
  SpawnOptions spawn;
  spawn.argv = {"runsc-sentry"};
  spawn.fds = PlanFds(options, config.get(), ready_write.get());
  spawn.clone_flags = kNamespaces | options.clone_flags;
  if (options.network.kind == NetworkKind::kPrivate) spawn.clone_flags |= CLONE_NEWNET;
  spawn.in_parent = [&options](pid_t child) {
    RaiseFileLimit(child);
    AdjustOomScore(child, options.oom_score_adj);
    return WriteIdMaps(child);
  };
  spawn.in_child = [&] { return PrepareSentry(options.network, options.log >= 0); };
  spawn.error_fd = control::BOOT_FD_READY;
  const pid_t pid = TRY_STATUS(SpawnSelf(spawn));
  return SentryProcess{pid, std::move(ready_read)};
}

absl::Status AwaitReady(const SentryProcess& sentry, absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  std::string said;
  while (true) {
    const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
    pollfd entry = {sentry.ready.get(), POLLIN, 0};
    const int ready = poll(&entry, 1, static_cast<int>(absl::ToInt64Milliseconds(left)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return HostErrorNow("poll");
    if (ready == 0) return absl::DeadlineExceededError("the sandbox did not start in time");
    char buffer[512];
    const ssize_t got = read(sentry.ready.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return HostErrorNow("read");
    if (got > 0) said.append(buffer, static_cast<size_t>(got));
    if (!said.empty() && said[0] == 'R') return absl::OkStatus();
    if (got != 0 && said.size() < kMaxErrorBytes) continue;
    if (said.size() > 1 && said[0] == 'E') return absl::UnknownError(said.substr(1, said.find('\n') - 1));
    return absl::InternalError("the sandbox ended before it was ready");
  }
}

}  // namespace cloister::sandbox
