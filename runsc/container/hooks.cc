#include "runsc/container/hooks.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"

namespace cloister::container {
namespace {

constexpr size_t kMaxQuoted = 4096;

// A file rather than a pipe: a hook need not read it.
absl::StatusOr<UniqueFd> MakeInput(const std::string& text) {
  UniqueFd file(memfd_create("hook-state", MFD_CLOEXEC));
  if (!file.ok()) return HostErrorNow("memfd_create");
  if (pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return HostErrorNow("write the hook's input");
  }
  return file;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void ExecHook(const spec::Hook& hook, const std::string& bundle, int input, int output) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
  if (chdir(bundle.c_str()) == 0) {
    const std::vector<std::string> just_the_path = {hook.path};
    const std::vector<char*> argv = Pointers(hook.args.empty() ? just_the_path : hook.args);
    if (hook.env.has_value()) {
      execve(hook.path.c_str(), argv.data(), Pointers(*hook.env).data());
    } else {
      execv(hook.path.c_str(), argv.data());
    }
  }
  const std::string complaint = absl::StrCat(hook.path, ": ", strerror(errno));
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, complaint.data(), complaint.size());
  _exit(127);
}

std::string Quoted(int output) {
  std::string text(kMaxQuoted, '\0');
  const ssize_t got = pread(output, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return std::string(absl::StripAsciiWhitespace(text));
}

// False at the deadline.
bool AwaitEnd(pid_t pid, uint32_t timeout_seconds) {
  if (timeout_seconds == 0) return true;
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const absl::Time deadline = absl::Now() + absl::Seconds(timeout_seconds);
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0) return false;
    pollfd entry = {pidfd.get(), POLLIN, 0};
    if (poll(&entry, 1, static_cast<int>(std::min<int64_t>(left, INT32_MAX))) > 0) return true;
  }
}

absl::Status RunHook(const spec::Hook& hook, const spec::State& state, spec::Status status,
                     const HookLauncher& launch) {
  const UniqueFd input = TRY_STATUS(MakeInput(spec::HookState(state, status)));
  const UniqueFd output(memfd_create("hook-output", MFD_CLOEXEC));
  if (!output.ok()) return HostErrorNow("memfd_create");
  const pid_t pid = TRY_STATUS(launch(hook, input.get(), output.get()));
  const bool in_time = AwaitEnd(pid, hook.timeout_seconds);
  if (!in_time) kill(pid, SIGKILL);
  int wait_status = 0;
  while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
  }
  if (!in_time) {
    return absl::DeadlineExceededError(
        absl::StrCat(hook.path, ": hook ran past timeout of ", hook.timeout_seconds, "s"));
  }
  if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) return absl::OkStatus();
  const std::string how = WIFEXITED(wait_status) ? absl::StrCat("exit status ", WEXITSTATUS(wait_status))
                                                 : absl::StrCat("signal ", WTERMSIG(wait_status));
  return absl::UnknownError(absl::StrCat("error running hook: ", how, ", output: ", Quoted(output.get())));
}

}  // namespace

HookLauncher OnHost(const spec::State& state) {
  return [bundle = state.bundle](const spec::Hook& hook, int input, int output) -> absl::StatusOr<pid_t> {
    const pid_t pid = fork();
    if (pid < 0) return HostErrorNow("fork");
    if (pid == 0) ExecHook(hook, bundle, input, output);
    return pid;
  };
}

absl::Status RunHooks(const std::vector<spec::Hook>& hooks, std::string_view kind, const spec::State& state,
                      spec::Status status, const HookLauncher& launch) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    const absl::Status done = RunHook(hooks[i], state, status, launch);
    if (done.ok()) continue;
    return absl::Status(
        done.code(), absl::StrCat("error running ", absl::string_view(kind.data(), kind.size()), " hook #", i,
                                  ": ", done.message()));
  }
  return absl::OkStatus();
}

}  // namespace cloister::container
