#include "gofer/protocol/config.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/error/status.h"

namespace cloister::gofer {
namespace {

constexpr size_t kMaxConfigBytes = 1 << 20;

}  // namespace

absl::StatusOr<UniqueFd> OpenAttachPoint(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd.ok()) return HostErrorNow(path);
  return fd;
}

absl::StatusOr<UniqueFd> MakeConfigFd(const GoferConfig& config) {
  UniqueFd fd(memfd_create("gofer-config", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.ok()) return HostErrorNow("memfd_create");
  const std::string bytes = config.SerializeAsString();
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote = write(fd.get(), bytes.data() + done, bytes.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return HostErrorNow("write to memfd");
    done += static_cast<size_t>(wrote);
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
    return HostErrorNow("F_ADD_SEALS");
  }
  if (lseek(fd.get(), 0, SEEK_SET) < 0) return HostErrorNow("lseek");
  return fd;
}

absl::StatusOr<GoferConfig> ReadConfig(int fd) {
  std::string bytes;
  char part[4096];
  while (true) {
    const ssize_t got = read(fd, part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return HostErrorNow("gofer configuration");
    if (got == 0) break;
    bytes.append(part, static_cast<size_t>(got));
    if (bytes.size() > kMaxConfigBytes) return absl::InvalidArgumentError("gofer configuration is too long");
  }
  GoferConfig config;
  if (!config.ParseFromString(bytes)) return absl::InvalidArgumentError("gofer configuration does not parse");
  return config;
}

}  // namespace cloister::gofer
