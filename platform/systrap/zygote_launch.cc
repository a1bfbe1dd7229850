#include "platform/systrap/zygote_launch.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/fd_passing.h"
#include "platform/filter/stub_filter.h"
#include "platform/stub/image.h"

namespace cloister::systrap {
namespace {

constexpr int kHighFd = 64;              // above the numbers that the stub's descriptors get
constexpr rlim_t kStackLimit = 8 << 20;  // with no limit the host would map bottom-up

// Everything below runs between vfork(2) and execve(2): host calls only, no allocation.
[[noreturn]] void Fail(const char* step) {
  const std::string_view text(step);
  [[maybe_unused]] const ssize_t written = write(stub::kBootFd, text.data(), text.size());
  _exit(127);
}

// A signal at a stub is either an interrupt or a fault. Whatever else may be sent to it (terminal,
// parent's death) must not end it; ignored stays ignored across execve(2).
void IgnoreSignals() {
  for (int signo = 1; signo < NSIG; ++signo) {
    struct sigaction action = {};
    action.sa_handler = SIG_IGN;
    sigaction(signo, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void SetLimits() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_STACK, &limit) != 0) Fail("getrlimit stack");
  limit.rlim_cur = std::min(limit.rlim_max, kStackLimit);
  if (setrlimit(RLIMIT_STACK, &limit) != 0) Fail("setrlimit stack");
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) Fail("getrlimit nofile");
  limit.rlim_cur = std::min(limit.rlim_max, static_cast<rlim_t>(stub::kFdLimit));
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) Fail("setrlimit nofile");
  limit = {0, 0};
  if (setrlimit(RLIMIT_CORE, &limit) != 0) Fail("setrlimit core");
}

void DropCapabilities() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Fail("no_new_privs");
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  // Without this an execve(2) by uid 0 counts as gaining rights, and so clears ADDR_NO_RANDOMIZE. A
  // caller that may not set it has dropped its capabilities; it should not have uid 0 then.
  prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) Fail("capset");
}

void PlaceDescriptors(int boot, int arena, int image) {
  const int high[] = {fcntl(boot, F_DUPFD, kHighFd), fcntl(arena, F_DUPFD, kHighFd),
                      fcntl(image, F_DUPFD, kHighFd)};
  if (dup2(high[0], stub::kBootFd) < 0 || dup2(high[1], stub::kArenaFd) < 0 ||
      dup3(high[2], stub::kImageFd, O_CLOEXEC) < 0) {
    _exit(126);
  }
  for (int fd = 0; fd < stub::kBootFd; ++fd) close(fd);
  if (syscall(SYS_close_range, stub::kImageFd + 1, ~0u, 0) != 0) Fail("close_range");
}

[[noreturn]] void Become(int boot, int arena, int image) {
  PlaceDescriptors(boot, arena, image);
  IgnoreSignals();
  setsid();  // fails only for a group leader, which a new child is not
  SetLimits();
  DropCapabilities();
  if (personality(ADDR_NO_RANDOMIZE) < 0) Fail("personality");
  char* const empty[] = {nullptr};
  syscall(SYS_execveat, stub::kImageFd, "", empty, empty, AT_EMPTY_PATH);
  Fail("execveat");
}

absl::StatusOr<UniqueFd> ImageFile() {
  UniqueFd fd(memfd_create("cloister-stub", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.ok()) return HostErrorNow("memfd_create for the stub");
  const std::span<const std::byte> image = stub::Image();
  if (write(fd.get(), image.data(), image.size()) != static_cast<ssize_t>(image.size())) {
    return HostErrorNow("write of the stub");
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return HostErrorNow("sealing the stub");
  }
  return fd;
}

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
  const UniqueFd image = TRY_STATUS(ImageFile());
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return HostErrorNow("socketpair");
  const UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  LaunchedZygote zygote;
  zygote.pid = vfork();
  if (zygote.pid == 0) Become(theirs.get(), arena.fd(), image.get());
  if (zygote.pid < 0) return HostErrorNow("vfork of the stub");
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
