#include "base/host/own_path.h"

#include <limits.h>
#include <unistd.h>

#include <cerrno>

#include "base/error/status.h"

namespace cloister {

absl::StatusOr<std::string> OwnPath() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  if (size == sizeof path) errno = ENAMETOOLONG;
  if (size < 0 || size == sizeof path) return HostErrorNow("/proc/self/exe");
  return std::string(path, static_cast<size_t>(size));
}

}  // namespace cloister
