#include "runsc/container/exec.h"

#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error/status.h"
#include "runsc/cmd/bundle.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"
#include "runsc/sandbox/foreground.h"

namespace cloister::cmd {
namespace {

struct ExecFlags {
  std::string process, console_socket, pid_file, cwd, user, apparmor, process_label, cgroup;
  std::vector<std::string> env, groups, caps;
  int preserve_fds = 0;
  bool detach = false, tty = false, no_new_privs = false, ignore_paused = false, no_subreaper = false;
};

void Declare(Flags* flags, ExecFlags* raw) {
  flags->StopAtPositional();
  flags->String("process,p", &raw->process, "process.json with everything about the process");
  flags->String("console-socket", &raw->console_socket, "unix socket that receives the terminal's master");
  flags->String("pid-file", &raw->pid_file, "file to write the process id to");
  flags->Bool("detach,d", &raw->detach, "return when the process runs");
  flags->Bool("tty,t", &raw->tty, "give it a terminal");
  flags->String("cwd", &raw->cwd, "working directory in the container");
  flags->Strings("env,e", &raw->env, "set an environment variable");
  flags->String("user,u", &raw->user, "UID[:GID]");
  flags->Strings("additional-gids,g", &raw->groups, "further groups");
  flags->Strings("cap,c", &raw->caps, "add a capability");
  flags->Bool("no-new-privs", &raw->no_new_privs, "no program may raise its privilege");
  flags->Int("preserve-fds", &raw->preserve_fds, "hand on so many more descriptors, from 3");
  flags->Bool("ignore-paused", &raw->ignore_paused, "allow it in a paused container");
  flags->String("apparmor", &raw->apparmor, "accepted");
  flags->String("process-label", &raw->process_label, "accepted");
  flags->String("cgroup", &raw->cgroup, "accepted");
  flags->Bool("no-subreaper", &raw->no_subreaper, "accepted");
}

absl::Status ParseUser(const std::string& text, spec::User* user) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  if (!absl::SimpleAtoi(parts.first, &user->uid)) {
    return absl::InvalidArgumentError(absl::StrCat("--user: \"", text, "\" is not UID[:GID]"));
  }
  user->gid = 0;
  if (!parts.second.empty() && !absl::SimpleAtoi(parts.second, &user->gid)) {
    return absl::InvalidArgumentError(absl::StrCat("--user: \"", text, "\" is not UID[:GID]"));
  }
  return absl::OkStatus();
}

absl::Status AddCapabilities(const std::vector<std::string>& names, spec::Capabilities* capabilities) {
  for (const std::string& name : names) {
    const std::optional<int> number = spec::CapabilityNumber(name);
    if (!number.has_value())
      return absl::InvalidArgumentError(absl::StrCat("--cap: unknown capability ", name));
    const uint64_t bit = uint64_t{1} << *number;
    capabilities->bounding |= bit;
    capabilities->effective |= bit;
    capabilities->inheritable |= bit;
    capabilities->permitted |= bit;
    capabilities->ambient |= bit;
  }
  return absl::OkStatus();
}

// process.json, or the container's own process with the options on top.
absl::StatusOr<spec::Process> MakeProcess(const ExecFlags& raw, const Args& command,
                                          const container::Container& container) {
  if (!raw.process.empty()) {
    return spec::ParseProcessText(TRY_STATUS(spec::ReadTextFile(raw.process)));
  }
  if (command.empty()) return absl::InvalidArgumentError("process args cannot be empty");
  const spec::Spec spec = TRY_STATUS(container.LoadSpec());
  if (!spec.process.has_value()) return absl::InvalidArgumentError("the container has no process");
  spec::Process process = *spec.process;
  process.args = command;
  process.terminal = raw.tty;
  if (!raw.cwd.empty()) process.cwd = raw.cwd;
  if (process.cwd[0] != '/') return absl::InvalidArgumentError("--cwd: must be an absolute path");
  process.env.insert(process.env.end(), raw.env.begin(), raw.env.end());
  if (!raw.user.empty()) RETURN_IF_ERROR(ParseUser(raw.user, &process.user));
  for (const std::string& group : raw.groups) {
    if (!absl::SimpleAtoi(group, &process.user.additional_gids.emplace_back())) {
      return absl::InvalidArgumentError(absl::StrCat("--additional-gids: \"", group, "\" is not a number"));
    }
  }
  RETURN_IF_ERROR(AddCapabilities(raw.caps, &process.capabilities));
  process.no_new_privileges |= raw.no_new_privs;
  return process;
}

}  // namespace

absl::StatusOr<int> RunExec(const Globals& globals, const Args& args) {
  ExecFlags raw;
  Flags flags("runsc exec", "[options] ID COMMAND [ARGUMENT …]", "Runs one more process in a container.");
  Declare(&flags, &raw);
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "exec", 1, -1));
  const Args& words = flags.positionals();
  container::Container container = TRY_STATUS(container::Container::Open(globals.runtime.root, words[0]));
  container::ExecOptions options;
  options.process = TRY_STATUS(MakeProcess(raw, {words.begin() + 1, words.end()}, container));
  if (!raw.pid_file.empty()) options.pid_file = TRY_STATUS(AbsolutePath(raw.pid_file));
  options.console_socket = raw.console_socket;
  options.preserve_fds = raw.preserve_fds;
  options.attached = !raw.detach;
  options.ignore_paused = raw.ignore_paused;
  std::optional<sandbox::Foreground> foreground;
  if (!raw.detach) foreground = TRY_STATUS(sandbox::Foreground::Prepare());
  container::ExecdProcess process = TRY_STATUS(container::Exec(container, options));
  if (raw.detach) return 0;
  return sandbox::ShellStatus(TRY_STATUS(foreground->Run(process.monitor, std::move(process.master))));
}

}  // namespace cloister::cmd
