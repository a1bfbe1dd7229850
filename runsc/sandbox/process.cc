#include "runsc/sandbox/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "base/log/log.h"

namespace cloister::sandbox {
namespace {

// Above every number that a child is given, so that placing one descriptor never covers another.
constexpr int kScratchFdBase = 256;
constexpr int kChildFailed = 127;
constexpr rlim_t kManyFiles = 1 << 20;  // Linux' default for fs.nr_open

absl::Status ReadSyncByte(int pipe) {
  char byte;
  ssize_t got;
  do {
    got = read(pipe, &byte, 1);
  } while (got < 0 && errno == EINTR);
  return got == 1 ? absl::OkStatus() : absl::CancelledError("the parent gave up");
}

// Moves each descriptor to its number and marks all others close-on-exec. exe is above all of them.
absl::Status PlaceFds(const std::vector<PlacedFd>& wanted, int* exe) {
  std::vector<PlacedFd> fds = wanted;
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return HostErrorNow("open /dev/null");
  for (int fd = 0; fd < 3; ++fd) {
    const auto is_this = [fd](const PlacedFd& placed) { return placed.to == fd; };
    if (std::none_of(fds.begin(), fds.end(), is_this)) fds.push_back({null, fd});
  }
  for (PlacedFd& fd : fds) {
    fd.from = fcntl(fd.from, F_DUPFD_CLOEXEC, kScratchFdBase);
    if (fd.from < 0) return HostErrorNow("fcntl F_DUPFD_CLOEXEC");
  }
  if ((*exe = fcntl(*exe, F_DUPFD_CLOEXEC, kScratchFdBase)) < 0) return HostErrorNow("fcntl F_DUPFD_CLOEXEC");
  std::sort(fds.begin(), fds.end(), [](const PlacedFd& a, const PlacedFd& b) { return a.to < b.to; });
  unsigned next = 0;
  for (const PlacedFd& fd : fds) {
    if (dup2(fd.from, fd.to) < 0) return HostErrorNow("dup2");
    const unsigned to = static_cast<unsigned>(fd.to);
    if (to > next) close_range(next, to - 1, 0);
    next = to + 1;
  }
  if (close_range(next, ~0u, CLOSE_RANGE_CLOEXEC) != 0) return HostErrorNow("close_range");
  return absl::OkStatus();
}

// What is by default already stays untouched: setting it would drop a pending SIGWINCH.
void ResetSignalActions() {
  const struct sigaction by_default = {};
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction now = {};
    if (sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_DFL)
      sigaction(signal, &by_default, nullptr);
  }
}

absl::Status RunChild(const SpawnOptions& options, int sync, int exe) {
  RETURN_IF_ERROR(ReadSyncByte(sync));
  setsid();
  ResetSignalActions();
  if (!options.block_signals) SetSignalMask(0);
  RETURN_IF_ERROR(PlaceFds(options.fds, &exe));
  if (options.in_child) RETURN_IF_ERROR(options.in_child());
  std::vector<char*> argv;
  for (const std::string& arg : options.argv) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  char* const no_environment[] = {nullptr};
  syscall(SYS_execveat, exe, "", argv.data(), no_environment, AT_EMPTY_PATH);
  return HostErrorNow("execveat /proc/self/exe");
}

[[noreturn]] void ChildMain(const SpawnOptions& options, int sync, int exe) {
  const absl::Status status = RunChild(options, sync, exe);
  if (options.error_fd >= 0 && !absl::IsCancelled(status)) {
    const std::string line = absl::StrCat("E", FirstLine(status), "\n");
    [[maybe_unused]] const ssize_t written = write(options.error_fd, line.data(), line.size());
  }
  _exit(kChildFailed);
}

struct Stat {
  spec::ProcessId process;
  bool zombie = false;
};

absl::StatusOr<Stat> ReadStat(pid_t pid) {
  UniqueFd file(open(absl::StrCat("/proc/", pid, "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return absl::NotFoundError("no such process");
  char text[1024];
  const ssize_t got = read(file.get(), text, sizeof text);
  if (got <= 0) return absl::NotFoundError("no such process");
  // The command in parentheses may itself hold parentheses and blanks.
  const absl::string_view all(text, static_cast<size_t>(got));
  const size_t end = all.rfind(')');
  if (end == absl::string_view::npos || end + 2 >= all.size())
    return absl::InternalError("odd /proc/PID/stat");
  const std::vector<absl::string_view> fields = absl::StrSplit(all.substr(end + 2), ' ');
  constexpr size_t kState = 0, kStartTime = 22 - 3;
  Stat stat{.process = {.pid = pid}};
  if (fields.size() <= kStartTime || !absl::SimpleAtoi(fields[kStartTime], &stat.process.start_time)) {
    return absl::InternalError("odd /proc/PID/stat");
  }
  stat.zombie = fields[kState] == "Z" || fields[kState] == "X";
  return stat;
}

absl::StatusOr<UniqueFd> OpenPidfd(pid_t pid) {
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.ok()) return HostErrorNow("pidfd_open");
  return pidfd;
}

// The process behind a pidfd that is certainly the one meant, or an invalid one if it is gone.
absl::StatusOr<UniqueFd> Hold(const spec::ProcessId& process) {
  if (process.pid <= 0) return UniqueFd();
  absl::StatusOr<UniqueFd> pidfd = OpenPidfd(process.pid);
  if (!pidfd.ok()) return absl::IsNotFound(pidfd.status()) || errno == ESRCH ? UniqueFd() : std::move(pidfd);
  // Asked behind the open: if it is there still, the descriptor is its. A zombie counts: its first
  // thread may be dead while others are on their way out, and only the last makes it one to reap.
  const absl::StatusOr<Stat> now = ReadStat(process.pid);
  if (!now.ok() || now->process.start_time != process.start_time) return UniqueFd();
  return pidfd;
}

absl::Status AwaitPidfd(int pidfd, absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  while (true) {
    const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
    pollfd entry = {pidfd, POLLIN, 0};
    const int ready = poll(&entry, 1, static_cast<int>(absl::ToInt64Milliseconds(left)));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return HostErrorNow("poll");
    if (ready == 0) return absl::DeadlineExceededError("the process does not end");
  }
}

void ReapIfChild(pid_t pid) { waitpid(pid, nullptr, WNOHANG); }

}  // namespace

absl::StatusOr<spec::ProcessId> IdentifyProcess(pid_t pid) {
  const Stat stat = TRY_STATUS(ReadStat(pid));
  if (stat.zombie) return absl::NotFoundError("no such process");
  return stat.process;
}

bool IsAlive(const spec::ProcessId& process) {
  if (process.pid <= 0) return false;
  const absl::StatusOr<spec::ProcessId> now = IdentifyProcess(process.pid);
  return now.ok() && now->start_time == process.start_time;
}

absl::Status WaitForDeath(const spec::ProcessId& process, absl::Duration patience) {
  const UniqueFd pidfd = TRY_STATUS(Hold(process));
  if (pidfd.ok()) RETURN_IF_ERROR(AwaitPidfd(pidfd.get(), patience));
  if (process.pid > 0) ReapIfChild(process.pid);
  return absl::OkStatus();
}

absl::Status KillAndWait(const spec::ProcessId& process, absl::Duration patience) {
  const UniqueFd pidfd = TRY_STATUS(Hold(process));
  if (pidfd.ok()) {
    if (syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
      return HostErrorNow("pidfd_send_signal");
    }
    RETURN_IF_ERROR(AwaitPidfd(pidfd.get(), patience));
  }
  if (process.pid > 0) ReapIfChild(process.pid);
  return absl::OkStatus();
}

void RaiseFileLimit(pid_t child) {
  const rlimit wanted = {kManyFiles, kManyFiles};
  if (prlimit(child, RLIMIT_NOFILE, &wanted, nullptr) == 0) return;
  rlimit limit;
  if (prlimit(child, RLIMIT_NOFILE, nullptr, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  prlimit(child, RLIMIT_NOFILE, &limit, nullptr);
}

void AdjustOomScore(pid_t pid, int score) {
  const std::string text = absl::StrCat(score);
  const UniqueFd file(open(absl::StrCat("/proc/", pid, "/oom_score_adj").c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.ok() || write(file.get(), text.data(), text.size()) < 0) {
    LOG(kWarning, "cannot set oom_score_adj of %d to %s: %s", pid, text, strerror(errno));
  }
}

uint64_t SetSignalMask(uint64_t mask) {
  uint64_t before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, sizeof mask);
  return before;
}

absl::StatusOr<pid_t> SpawnSelf(const SpawnOptions& options) {
  const UniqueFd exe(open("/proc/self/exe", O_PATH | O_CLOEXEC));
  if (!exe.ok()) return HostErrorNow("open /proc/self/exe");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return HostErrorNow("pipe2");
  UniqueFd sync_read(ends[0]), sync_write(ends[1]);
  // What is sent to the child at once neither meets this process' handlers nor is lost.
  const uint64_t mask = SetSignalMask(kAllSignals);
  const long pid = syscall(SYS_clone, options.clone_flags | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) {
    sync_write.reset();
    ChildMain(options, sync_read.get(), exe.get());
  }
  const int clone_errno = errno;
  SetSignalMask(mask);
  if (pid < 0) return HostError(clone_errno, "clone");
  sync_read.reset();
  absl::Status status = absl::OkStatus();
  if (options.in_parent) status = options.in_parent(static_cast<pid_t>(pid));
  if (status.ok() && write(sync_write.get(), "g", 1) != 1) status = HostErrorNow("write");
  if (!status.ok()) {
    kill(static_cast<pid_t>(pid), SIGKILL);
    waitpid(static_cast<pid_t>(pid), nullptr, 0);
    return status;
  }
  return static_cast<pid_t>(pid);
}

}  // namespace cloister::sandbox
