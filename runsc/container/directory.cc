#include "runsc/container/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "runsc/sandbox/control_client.h"
#include "runsc/sandbox/process.h"

namespace cloister::container {
namespace {

constexpr char kStateFile[] = "state.json";
constexpr char kConfigFile[] = "config.json";
constexpr char kLockFile[] = "lock";
constexpr size_t kMaxIdBytes = 200;  // the name of a directory
constexpr absl::Duration kLockRetry = absl::Milliseconds(10);

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST)
      return HostErrorNow(absl::StrCat("mkdir ", parent));
  }
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return HostErrorNow(absl::StrCat("mkdir ", path));
  return absl::OkStatus();
}

// The calling process into the lock's file, whose holder it is.
void SignLock(int file) {
  const absl::StatusOr<spec::ProcessId> self = sandbox::IdentifyProcess(getpid());
  if (!self.ok()) return;
  const std::string text = absl::StrCat(self->pid, " ", self->start_time, "\n");
  if (ftruncate(file, 0) == 0) {
    [[maybe_unused]] const ssize_t written = pwrite(file, text.data(), text.size(), 0);
  }
}

absl::StatusOr<spec::ProcessId> LockHolder(const std::string& path) {
  const std::string text = TRY_STATUS(spec::ReadTextFile(path));
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  spec::ProcessId holder;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &holder.pid) ||
      !absl::SimpleAtoi(words[1], &holder.start_time) || holder.pid == getpid()) {
    return absl::NotFoundError("nobody has signed the lock");
  }
  return holder;
}

absl::Status DoesNotExist() { return absl::NotFoundError("container does not exist"); }

}  // namespace

absl::Status CheckId(const std::string& id) {
  if (id.empty()) return absl::InvalidArgumentError("container id cannot be empty");
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-' || c == '.';
  };
  const bool well_formed = std::all_of(id.begin(), id.end(), allowed) && id != "." && id != "..";
  if (!well_formed || id.size() > kMaxIdBytes) {
    return absl::InvalidArgumentError("invalid container ID format: letters, digits and _+-. are allowed");
  }
  return absl::OkStatus();
}

absl::StatusOr<Directory> Directory::Create(const std::string& root, const std::string& id) {
  RETURN_IF_ERROR(CheckId(id));
  RETURN_IF_ERROR(MakeDirectories(root, 0700));
  const std::string path = absl::StrCat(root, "/", id);
  if (mkdir(path.c_str(), 0700) != 0) {
    if (errno == EEXIST) return absl::AlreadyExistsError("container with given ID already exists");
    return HostErrorNow(absl::StrCat("mkdir ", path));
  }
  return Directory(path);
}

absl::StatusOr<Directory> Directory::Open(const std::string& root, const std::string& id) {
  RETURN_IF_ERROR(CheckId(id));
  const std::string path = absl::StrCat(root, "/", id);
  struct stat info;
  if (lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return DoesNotExist();
  return Directory(path);
}

absl::StatusOr<UniqueFd> Directory::Lock(absl::Duration patience) const {
  const std::string path = absl::StrCat(path_, "/", kLockFile);
  UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.ok()) return errno == ENOENT ? DoesNotExist() : HostErrorNow(absl::StrCat("open ", path));
  const absl::Time deadline = absl::Now() + patience;
  while (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return HostErrorNow("flock");
    if (absl::Now() >= deadline)
      return absl::DeadlineExceededError("another runsc is busy with the container");
    absl::SleepFor(kLockRetry);
  }
  struct stat held, named;
  const bool same =
      fstat(file.get(), &held) == 0 && stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino;
  if (!same) return DoesNotExist();
  SignLock(file.get());
  return file;
}

absl::StatusOr<UniqueFd> Directory::SeizeLock(absl::Duration patience) const {
  absl::StatusOr<UniqueFd> lock = Lock(patience);
  if (!absl::IsDeadlineExceeded(lock.status())) return lock;
  const absl::StatusOr<spec::ProcessId> holder = LockHolder(absl::StrCat(path_, "/", kLockFile));
  if (!holder.ok()) return lock;
  LOG(kWarning, "%s: process %d kept the container's lock and is killed", path_, holder->pid);
  RETURN_IF_ERROR(sandbox::KillAndWait(*holder, patience));
  return Lock(patience);
}

bool Directory::IsLocked() const {
  const UniqueFd file(open(absl::StrCat(path_, "/", kLockFile).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  return file.ok() && flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

absl::StatusOr<spec::State> Directory::LoadState() const {
  absl::StatusOr<std::string> text = spec::ReadTextFile(absl::StrCat(path_, "/", kStateFile));
  if (absl::IsNotFound(text.status())) return DoesNotExist();
  if (!text.ok()) return text.status();
  absl::StatusOr<spec::State> state = spec::ParseState(*text);
  if (!state.ok())
    return absl::DataLossError(absl::StrCat(path_, "/", kStateFile, ": ", state.status().message()));
  return state;
}

absl::Status Directory::SaveState(const spec::State& state) const {
  return WriteFileAtomically(absl::StrCat(path_, "/", kStateFile), spec::FormatState(state), 0600);
}

absl::StatusOr<spec::Spec> Directory::LoadSpec() const {
  return spec::ParseSpec(TRY_STATUS(spec::ReadTextFile(absl::StrCat(path_, "/", kConfigFile))));
}

absl::Status Directory::SaveConfig(const std::string& text) const {
  return WriteFileAtomically(absl::StrCat(path_, "/", kConfigFile), text, 0600);
}

absl::Status Directory::Remove() const {
  const UniqueFd directory(open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory.ok()) return errno == ENOENT ? absl::OkStatus() : HostErrorNow(absl::StrCat("open ", path_));
  // The lock's file goes last: whoever finds no state.json finds no container.
  for (const char* name :
       {kStateFile, ".state.json", kConfigFile, ".config.json", sandbox::kControlSocketName, kLockFile}) {
    if (unlinkat(directory.get(), name, 0) != 0 && errno != ENOENT) {
      return HostErrorNow(absl::StrCat("unlink ", path_, "/", name));
    }
  }
  if (rmdir(path_.c_str()) != 0 && errno != ENOENT) return HostErrorNow(absl::StrCat("rmdir ", path_));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListIds(const std::string& root) {
  std::vector<std::string> ids;
  DIR* stream = opendir(root.c_str());
  if (stream == nullptr) {
    if (errno == ENOENT) return ids;
    return HostErrorNow(absl::StrCat("open ", root));
  }
  while (const dirent* entry = readdir(stream)) {
    if (CheckId(entry->d_name).ok()) ids.emplace_back(entry->d_name);
  }
  closedir(stream);
  std::sort(ids.begin(), ids.end());
  return ids;
}

absl::Status WriteFileAtomically(const std::string& path, const std::string& text, unsigned mode) {
  const size_t name = path.rfind('/') + 1;
  const std::string temporary = absl::StrCat(path.substr(0, name), ".", path.substr(name));
  {
    const UniqueFd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!file.ok()) return HostErrorNow(absl::StrCat("open ", temporary));
    fchmod(file.get(), mode);
    const ssize_t written = write(file.get(), text.data(), text.size());
    if (written != static_cast<ssize_t>(text.size())) return HostErrorNow(absl::StrCat("write ", temporary));
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) return HostErrorNow(absl::StrCat("rename to ", path));
  return absl::OkStatus();
}

}  // namespace cloister::container
