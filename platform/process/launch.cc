#include "platform/process/launch.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/error/status.h"
#include "base/host/unique_fd.h"

namespace cloister::process {
namespace {

constexpr int kFirstFd = 3;
constexpr int kHighFd = 64;              // above the numbers that the child's descriptors get
constexpr rlim_t kStackLimit = 8 << 20;  // with no limit the host would map bottom-up

// Everything below runs between vfork(2) and execve(2): host calls only, no allocation.
[[noreturn]] void Fail(const char* step) {
  const std::string_view text(step);
  [[maybe_unused]] const ssize_t written = write(kFirstFd, text.data(), text.size());
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

void SetLimits(int fd_limit) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_STACK, &limit) != 0) Fail("getrlimit stack");
  limit.rlim_cur = std::min(limit.rlim_max, kStackLimit);
  if (setrlimit(RLIMIT_STACK, &limit) != 0) Fail("setrlimit stack");
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) Fail("getrlimit nofile");
  limit.rlim_cur = std::min(limit.rlim_max, static_cast<rlim_t>(fd_limit));
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

// The image comes behind the others.
void PlaceDescriptors(std::span<const PlacedFd> descriptors, int image) {
  int high[kMaxPlaced];
  for (size_t i = 0; i < descriptors.size(); ++i) high[i] = fcntl(descriptors[i].fd, F_DUPFD, kHighFd);
  const int high_image = fcntl(image, F_DUPFD, kHighFd);
  for (size_t i = 0; i < descriptors.size(); ++i) {
    if (dup2(high[i], descriptors[i].number) < 0) _exit(126);
  }
  const int image_number = kFirstFd + static_cast<int>(descriptors.size());
  if (dup3(high_image, image_number, O_CLOEXEC) < 0) _exit(126);
  for (int fd = 0; fd < kFirstFd; ++fd) close(fd);
  if (syscall(SYS_close_range, image_number + 1, ~0u, 0) != 0) Fail("close_range");
}

[[noreturn]] void Become(const Launch& launch, int image) {
  PlaceDescriptors(launch.descriptors, image);
  IgnoreSignals();
  setsid();  // fails only for a group leader, which a new child is not
  SetLimits(launch.fd_limit);
  DropCapabilities();
  if (personality(ADDR_NO_RANDOMIZE) < 0) Fail("personality");
  char* const empty[] = {nullptr};
  const int image_number = kFirstFd + static_cast<int>(launch.descriptors.size());
  syscall(SYS_execveat, image_number, "", empty, empty, AT_EMPTY_PATH);
  Fail("execveat");
}

absl::StatusOr<UniqueFd> ImageFile(std::span<const std::byte> image) {
  UniqueFd fd(memfd_create("cloister-stub", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.ok()) return HostErrorNow("memfd_create for the stub");
  if (write(fd.get(), image.data(), image.size()) != static_cast<ssize_t>(image.size())) {
    return HostErrorNow("write of the stub");
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return HostErrorNow("sealing the stub");
  }
  return fd;
}

}  // namespace

absl::StatusOr<pid_t> LaunchImage(const Launch& launch) {
  if (launch.descriptors.size() > kMaxPlaced) return absl::InternalError("too many descriptors for a stub");
  const UniqueFd image = TRY_STATUS(ImageFile(launch.image));
  const pid_t pid = vfork();
  if (pid == 0) Become(launch, image.get());
  if (pid < 0) return HostErrorNow("vfork of the stub");
  return pid;
}

}  // namespace cloister::process
