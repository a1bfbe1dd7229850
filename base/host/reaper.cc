#include "base/host/reaper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"

namespace cloister {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& one : strings) pointers.push_back(const_cast<char*>(one.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What a child needs, made before the fork: behind it nothing may be allocated, since another thread may hold
// the allocator's lock.
struct Plan {
  std::vector<std::string> environment;
  std::vector<char*> argv, envp;
  std::vector<int> fds;  // numbers above every target
  const char* directory = nullptr;
  pid_t parent = 0;  // 0: the child may outlive it
};

[[noreturn]] void Execute(const Plan& plan, int report) {
  if (plan.parent != 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != plan.parent) _exit(127);
  }
  signal(SIGPIPE, SIG_DFL);
  for (size_t i = 0; i < plan.fds.size(); ++i) dup2(plan.fds[i], static_cast<int>(i));
  if (plan.directory == nullptr || chdir(plan.directory) == 0)
    execve(plan.argv[0], plan.argv.data(), plan.envp.data());
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(report, &error, sizeof error);
  _exit(127);
}

Plan MakePlan(const Command& command) {
  Plan plan;
  for (char** entry = environ; *entry != nullptr; ++entry) plan.environment.emplace_back(*entry);
  plan.environment.insert(plan.environment.end(), command.environment.begin(), command.environment.end());
  plan.argv = Pointers(command.argv);
  plan.envp = Pointers(plan.environment);
  if (!command.directory.empty()) plan.directory = command.directory.c_str();
  if (command.dies_with_caller) plan.parent = getpid();
  return plan;
}

uint32_t ExitStatus(int wait_status) {
  if (WIFEXITED(wait_status)) return static_cast<uint32_t>(WEXITSTATUS(wait_status));
  return 128 + static_cast<uint32_t>(WTERMSIG(wait_status));
}

}  // namespace

Reaper::Reaper() {
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  std::thread([this] { Loop(); }).detach();
}

absl::StatusOr<pid_t> Reaper::Spawn(const Command& command, OnExit on_exit) {
  Plan plan = MakePlan(command);
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return HostErrorNow("pipe2");
  UniqueFd report_read(report[0]), report_write(report[1]);
  // Above the targets, so that placing one does not overwrite the next.
  std::vector<UniqueFd> copies;
  for (const int fd : command.fds) {
    copies.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, static_cast<int>(command.fds.size())));
    if (!copies.back().ok()) return HostErrorNow("F_DUPFD");
    plan.fds.push_back(copies.back().get());
  }
  UniqueFd report_copy(fcntl(report_write.get(), F_DUPFD_CLOEXEC, static_cast<int>(command.fds.size())));
  pid_t pid;
  {
    absl::MutexLock lock(&mu_);
    pid = fork();
    if (pid == 0) Execute(plan, report_copy.get());
    if (pid < 0) return HostErrorNow("fork");
    waiting_[pid] = std::move(on_exit);
    ++spawned_;
  }
  report_write.reset();
  report_copy.reset();
  int error = 0;
  ssize_t got;
  do {
    got = read(report_read.get(), &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof error) return pid;
  absl::MutexLock lock(&mu_);
  waiting_.erase(pid);
  return HostError(error, command.argv[0]);
}

absl::StatusOr<Exit> Reaper::Run(const Command& command) {
  struct Waiter {
    absl::Notification done;
    Exit exit;
  };
  const auto waiter = std::make_shared<Waiter>();
  const absl::StatusOr<pid_t> pid = Spawn(command, [waiter](const Exit& exit) {
    waiter->exit = exit;
    waiter->done.Notify();
  });
  if (!pid.ok()) return pid.status();
  if (waiter->done.WaitForNotificationWithTimeout(command.patience)) return waiter->exit;
  KillIfWaiting(*pid);
  waiter->done.WaitForNotification();
  return absl::DeadlineExceededError(
      absl::StrCat("no end after ", absl::FormatDuration(command.patience), ", killed"));
}

// Not yet reaped, its number is nobody else's.
void Reaper::KillIfWaiting(pid_t pid) {
  absl::MutexLock lock(&mu_);
  if (waiting_.count(pid) != 0) kill(pid, SIGKILL);
}

void Reaper::Watch(pid_t pid, OnExit on_exit) {
  Exit exit{kLost, absl::Now()};
  {
    absl::MutexLock lock(&mu_);
    // One that still answers is yet to be reaped, whatever ended before with its number.
    if (kill(pid, 0) == 0) {
      waiting_[pid] = std::move(on_exit);
      return;
    }
    const auto found = unknown_.find(pid);
    if (found != unknown_.end()) exit = found->second;
  }
  on_exit(exit);
}

void Reaper::Expect(int change) {
  absl::MutexLock lock(&mu_);
  expectations_ += change;
  if (expectations_ == 0) unknown_.clear();
}

void Reaper::Loop() {
  uint64_t seen = 0;
  while (true) {
    siginfo_t ended = {};
    if (waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) == 0) {
      Reap(ended.si_pid);
      continue;
    }
    if (errno == EINTR) continue;
    // No child at all: the next can only come from a Spawn.
    struct Next {
      Reaper* self;
      uint64_t seen;
    } next{this, seen};
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](Next* next) ABSL_NO_THREAD_SAFETY_ANALYSIS { return next->self->spawned_ != next->seen; },
        &next));
    seen = spawned_;
  }
}

void Reaper::Reap(pid_t pid) {
  OnExit on_exit;
  Exit exit;
  {
    absl::MutexLock lock(&mu_);
    int wait_status = 0;
    if (wait4(pid, &wait_status, WNOHANG, nullptr) != pid) return;
    exit = {ExitStatus(wait_status), absl::Now()};
    const auto found = waiting_.find(pid);
    if (found == waiting_.end()) {
      if (expectations_ > 0) unknown_[pid] = exit;
      return;
    }
    on_exit = std::move(found->second);
    waiting_.erase(found);
  }
  on_exit(exit);
}

}  // namespace cloister
