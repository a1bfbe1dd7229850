#include "runsc/container/exec.h"

#include <sched.h>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "runsc/container/filter.h"
#include "runsc/container/terminal.h"
#include "runsc/sandbox/helper.h"
#include "runsc/sandbox/monitor.h"
#include "runsc/sandbox/network.h"
#include "runsc/sandbox/process.h"
#include "runsc/spec/to_control.h"

namespace cloister::container {
namespace {

constexpr absl::Duration kKillPatience = absl::Seconds(10);

absl::Status CheckStatus(const Container& container, bool ignore_paused) {
  switch (container.Status()) {
    case spec::Status::kStopped:
      return absl::FailedPreconditionError("cannot exec in a stopped container");
    case spec::Status::kPaused:
      if (ignore_paused) return absl::OkStatus();
      return absl::FailedPreconditionError(
          "cannot exec in a paused container (use --ignore-paused to override)");
    case spec::Status::kCreating:
      return absl::FailedPreconditionError("container is still being created");
    case spec::Status::kCreated:
    case spec::Status::kRunning:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

// In the network namespace of the container's own monitor, where engines look for it. It stays in the
// caller's control groups: no work of the container is done in it, and moving it would cost more than it.
absl::StatusOr<sandbox::MonitorProcess> StartMonitorBeside(const Container& container, int tty) {
  sandbox::NetworkPlan plan{.kind = sandbox::NetworkKind::kJoined,
                            .path = absl::StrCat("/proc/", container.state().monitor.pid, "/ns/net")};
  sandbox::MonitorProcess monitor;
  RETURN_IF_ERROR(sandbox::RunInHelper([&]() -> absl::Status {
    // A caller that may not join it does without.
    const absl::Status beside = sandbox::EnterNetwork(plan);
    if (!beside.ok()) LOG(kDebug, "exec: %s", FirstLine(beside));
    monitor = TRY_STATUS(sandbox::StartMonitor(tty, {}, CLONE_PARENT));
    return absl::OkStatus();
  }));
  return monitor;
}

absl::StatusOr<int32_t> Request(const Container& container, const ExecOptions& options, const Stdio& stdio,
                                int monitor) {
  control::Request request;
  control::ExecRequest* exec = request.mutable_exec();
  exec->set_container(container.state().id);
  *exec->mutable_process() = spec::ToControl(options.process);
  RETURN_IF_ERROR(PutFilter(TRY_STATUS(container.LoadSpec()), exec->mutable_process()));
  exec->set_preserved_fds(static_cast<uint32_t>(stdio.preserved.size()));
  std::vector<int> fds = {monitor};
  fds.insert(fds.end(), stdio.fds.begin(), stdio.fds.end());
  fds.insert(fds.end(), stdio.preserved.begin(), stdio.preserved.end());
  const absl::StatusOr<control::Reply> reply = container.Call(request, fds);
  if (reply.ok()) return reply->exec().pid();
  return absl::Status(reply.status().code(),
                      absl::StrCat("unable to start container process: ", reply.status().message()));
}

// What is left to do when the process runs.
absl::Status Announce(Container& container, const ExecOptions& options, const Stdio& stdio, int32_t guest_pid,
                      sandbox::MonitorProcess& monitor) {
  const absl::StatusOr<spec::ProcessId> id = sandbox::IdentifyProcess(monitor.pid);
  // One that has ended already needs no entry.
  if (id.ok() && options.listed) RETURN_IF_ERROR(container.AddExec({*id, guest_pid}));
  if (!options.console_socket.empty())
    RETURN_IF_ERROR(sandbox::SendConsole(options.console_socket, *stdio.pty));
  if (!options.pid_file.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(options.pid_file, absl::StrCat(monitor.pid), 0644));
  }
  // Killed, an attached caller takes its process along.
  return options.attached ? absl::OkStatus() : sandbox::ConfirmMonitor(monitor);
}

absl::StatusOr<ExecdProcess> Run(Container& container, const ExecOptions& options) {
  RETURN_IF_ERROR(CheckStatus(container, options.ignore_paused));
  Stdio stdio =
      TRY_STATUS(MakeStdio(options.process, options.console_socket, options.attached, options.preserve_fds));
  if (!stdio.pty.has_value()) stdio.fds.assign(options.streams.begin(), options.streams.end());
  sandbox::MonitorProcess monitor =
      TRY_STATUS(StartMonitorBeside(container, stdio.pty.has_value() ? stdio.fds[0] : -1));
  const absl::StatusOr<int32_t> pid = Request(container, options, stdio, monitor.sentry_end.get());
  monitor.sentry_end.reset();
  if (stdio.pty.has_value()) stdio.pty->slave.reset();
  absl::Status status = pid.status();
  if (status.ok()) status = Announce(container, options, stdio, *pid, monitor);
  if (!status.ok()) {
    // Its end kills the process in the container, if there is one.
    monitor.confirm.reset();
    const absl::StatusOr<spec::ProcessId> id = sandbox::IdentifyProcess(monitor.pid);
    sandbox::KillAndWait(id.value_or(spec::ProcessId{.pid = monitor.pid}), kKillPatience).IgnoreError();
    return status;
  }
  ExecdProcess started{.monitor = monitor.pid};
  started.leash = std::move(monitor.confirm);
  if (stdio.pty.has_value() && options.console_socket.empty()) started.master = std::move(stdio.pty->master);
  return started;
}

}  // namespace

absl::StatusOr<ExecdProcess> Exec(Container& container, const ExecOptions& options) {
  absl::StatusOr<ExecdProcess> started = Run(container, options);
  if (started.ok()) return started;
  return absl::Status(started.status().code(), absl::StrCat("exec failed: ", started.status().message()));
}

HookLauncher InContainer(Container& container, const spec::Spec& spec) {
  return [&container, &spec](const spec::Hook& hook, int input, int output) -> absl::StatusOr<pid_t> {
    ExecOptions options;
    options.process = *spec.process;
    options.process.terminal = false;
    options.process.user = {};
    options.process.cwd = std::string("/");
    options.process.args = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
    options.process.args[0] = hook.path;
    if (hook.env.has_value()) options.process.env = *hook.env;
    options.streams = {input, output, output};
    options.listed = false;
    return TRY_STATUS(Exec(container, options)).monitor;
  };
}

}  // namespace cloister::container
