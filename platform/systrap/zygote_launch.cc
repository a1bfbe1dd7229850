#include "platform/systrap/zygote_launch.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/fd_passing.h"
#include "platform/filter/stub_filter.h"
#include "platform/process/launch.h"
#include "platform/stub/image.h"

namespace cloister::systrap {
namespace {

absl::Status WriteBootPage(const Arena& arena, uint32_t space) {
  filter::StubFilterOptions options;
  options.gate_return = stub::kGateReturn;
  options.doorbell_nr = stub::kDoorbellNr;
  options.boot_fd = stub::kBootFd;
  options.first_lent_fd = stub::kFirstInjectedFd;
  const std::vector<sock_filter> filter = TRY_STATUS(filter::BuildStubFilter(options));
  auto* boot = reinterpret_cast<stub::Boot*>(arena.context(space, 1));
  if (filter.size() > std::size(boot->filter)) return absl::InternalError("the stub's filter is too long");
  boot->filter_length = static_cast<uint32_t>(filter.size());
  std::copy(filter.begin(), filter.end(), boot->filter);
  return absl::OkStatus();
}

// The zygote's last word on the boot socket: its listener, or what went wrong.
absl::StatusOr<UniqueFd> AwaitListener(int socket, pid_t pid) {
  std::array<std::byte, 128> text = {};
  absl::StatusOr<Received> received = ReceiveWithFds(socket, text);
  if (received.ok() && received->fds.size() == 1) return std::move(received->fds[0]);
  int status = 0;
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  if (!received.ok()) return received.status();
  if (WIFEXITED(status) && WEXITSTATUS(status) == stub::kListenerIsTaken) {
    return absl::FailedPreconditionError(
        "no seccomp listener: another filter of this process has one already");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == stub::kNoListener) {
    return absl::FailedPreconditionError("no seccomp listener: the host's kernel does not offer one");
  }
  const std::string said(reinterpret_cast<const char*>(text.data()), received->bytes);
  return absl::UnavailableError(absl::StrCat(
      "the stub did not start: ", said.empty() ? std::string("boot step") : said, ", wait status ", status));
}

}  // namespace

uint32_t SlotLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
  const rlim_t fds = std::min(limit.rlim_max, static_cast<rlim_t>(stub::kFdLimit));
  if (fds <= stub::kFirstInjectedFd + stub::kLentFds) return 1;
  return std::min(static_cast<uint32_t>((fds - stub::kFirstInjectedFd - 1) / stub::kLentFds),
                  static_cast<uint32_t>(stub::kSlots));
}

absl::StatusOr<LaunchedZygote> LaunchZygote(const Arena& arena, uint32_t space) {
  RETURN_IF_ERROR(WriteBootPage(arena, space));
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return HostErrorNow("socketpair");
  const UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  LaunchedZygote zygote;
  const process::PlacedFd descriptors[] = {{theirs.get(), stub::kBootFd}, {arena.fd(), stub::kArenaFd}};
  zygote.pid = TRY_STATUS(process::LaunchImage({stub::Image(), descriptors, stub::kFdLimit}));
  theirs.reset();
  zygote.listener = TRY_STATUS(AwaitListener(ours.get(), zygote.pid));
  const auto* boot = reinterpret_cast<const stub::Boot*>(arena.context(space, 1));
  zygote.vdso_data = boot->vdso_data;
  zygote.vdso_begin = boot->vdso_begin;
  zygote.vdso_end = boot->vdso_end;
  memset(arena.context(space, 1), 0, sizeof(stub::Boot));
  if (zygote.vdso_end != 0 && (zygote.vdso_data < stub::kStackBase + stub::kStackRegionBytes ||
                               zygote.vdso_end > stub::kReservedEnd)) {
    return absl::UnavailableError("the vDSO is not in the stub's region: was address randomisation left on?");
  }
  return zygote;
}

}  // namespace cloister::systrap
