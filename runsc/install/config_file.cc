#include "runsc/install/config_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "runsc/spec/spec.h"

namespace cloister::install {
namespace {

constexpr char kBackup[] = ".before-runsc";
constexpr mode_t kMode = 0644;

std::string Resolve(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return path;
  std::string result = resolved;
  free(resolved);
  return result;
}

absl::Status WriteAt(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".runsc-new";
  unlink(temporary.c_str());
  const auto write_it = [&]() -> absl::Status {
    const UniqueFd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file.ok()) return HostErrorNow(temporary);
    struct stat old = {.st_mode = kMode};
    const bool there = stat(path.c_str(), &old) == 0;
    if (there && fchown(file.get(), old.st_uid, old.st_gid) != 0) return HostErrorNow(temporary);
    if (fchmod(file.get(), old.st_mode & 07777) != 0) return HostErrorNow(temporary);
    if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      return HostErrorNow(temporary);
    }
    if (fsync(file.get()) != 0) return HostErrorNow(temporary);
    if (rename(temporary.c_str(), path.c_str()) != 0) return HostErrorNow(path);
    return absl::OkStatus();
  };
  const absl::Status written = write_it();
  if (!written.ok()) unlink(temporary.c_str());
  return written;
}

// The same file under another name: nothing is copied.
absl::Status KeepOld(const std::string& path) {
  const std::string backup = path + kBackup;
  unlink(backup.c_str());
  if (link(path.c_str(), backup.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return HostErrorNow(backup);
}

}  // namespace

absl::StatusOr<std::string> ReadConfig(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) return std::string();
  return spec::ReadTextFile(path);
}

absl::Status ReplaceConfig(const std::string& path, const std::string& text) {
  const std::string resolved = Resolve(path);
  RETURN_IF_ERROR(KeepOld(resolved));
  if (!text.empty()) return WriteAt(resolved, text);
  if (unlink(resolved.c_str()) != 0 && errno != ENOENT) return HostErrorNow(resolved);
  return absl::OkStatus();
}

}  // namespace cloister::install
