#include "runsc/container/container.h"

#include <signal.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "runsc/container/exec.h"
#include "runsc/container/groups.h"
#include "runsc/container/hooks.h"
#include "runsc/container/pod.h"
#include "runsc/sandbox/process.h"

namespace cloister::container {
namespace {

// For what opens files of the container first; for everything else; for what has another way where the sentry
// is stuck.
constexpr absl::Duration kProgramPatience = absl::Seconds(10);
constexpr absl::Duration kCallPatience = absl::Seconds(5);
constexpr absl::Duration kStatusPatience = absl::Seconds(2);
constexpr absl::Duration kLockPatience = absl::Seconds(10);
constexpr absl::Duration kForcePatience = absl::Seconds(3);
constexpr absl::Duration kKillPatience = absl::Seconds(10);
// How long gofer and monitor get to notice that the sentry is gone.
constexpr absl::Duration kFollowPatience = absl::Seconds(2);

absl::Status NotRunning() { return absl::FailedPreconditionError("container not running"); }

// Where the control socket of its sentry lies: a container of a pod has none of its own.
std::string ControlPath(const Directory& directory, const spec::State& state) {
  const std::string sandbox = SandboxOf(state);
  if (sandbox.empty()) return directory.path();
  return absl::StrCat(directory.path().substr(0, directory.path().rfind('/') + 1), sandbox);
}

bool IsTransportError(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

absl::Duration PatienceFor(const control::Request& request) {
  switch (request.kind_case()) {
    case control::Request::kStart:
    case control::Request::kExec:
      return kProgramPatience;
    case control::Request::kSignal:
      return request.signal().signal() == SIGKILL ? kStatusPatience : kCallPatience;
    default:
      return kCallPatience;
  }
}

}  // namespace

absl::StatusOr<Container> Container::Open(const std::string& root, const std::string& id) {
  Directory directory = TRY_STATUS(Directory::Open(root, id));
  absl::StatusOr<spec::State> state = directory.LoadState();
  if (state.ok()) return Container(std::move(directory), *std::move(state));
  if (!absl::IsNotFound(state.status()) || directory.IsLocked()) return state.status();
  // A create that was killed at its very beginning: a name without processes.
  spec::State nothing;
  nothing.id = id;
  return Container(std::move(directory), std::move(nothing));
}

spec::Status Container::StatusFromSentry() const {
  const spec::Status guess = state_.started ? spec::Status::kRunning : spec::Status::kCreated;
  absl::StatusOr<sandbox::ControlClient> client =
      sandbox::ControlClient::Connect(ControlPath(directory_, state_), kStatusPatience);
  if (!client.ok()) return guess;
  control::Request request;
  request.mutable_state()->set_container(state_.id);
  const absl::StatusOr<control::Reply> reply = client->Call(request, kStatusPatience);
  if (!reply.ok()) return sandbox::IsAlive(state_.sentry) ? guess : spec::Status::kStopped;
  switch (reply->state().state()) {
    case control::StateReply::CREATED:
      return spec::Status::kCreated;
    case control::StateReply::RUNNING:
      return spec::Status::kRunning;
    case control::StateReply::PAUSED:
      return spec::Status::kPaused;
    default:
      return spec::Status::kStopped;
  }
}

spec::Status Container::Status() const {
  if (!state_.ready) return directory_.IsLocked() ? spec::Status::kCreating : spec::Status::kStopped;
  if (!sandbox::IsAlive(state_.monitor) || !sandbox::IsAlive(state_.sentry)) return spec::Status::kStopped;
  return StatusFromSentry();
}

absl::StatusOr<control::Reply> Container::Call(const control::Request& request,
                                               std::span<const int> fds) const {
  const absl::Duration patience = PatienceFor(request);
  sandbox::ControlClient client =
      TRY_STATUS(sandbox::ControlClient::Connect(ControlPath(directory_, state_), patience));
  return client.Call(request, patience, fds);
}

absl::Status Container::RunStartHooks(const spec::Spec& spec) {
  const absl::Status done = RunHooks(spec.hooks.start_container, "startContainer", state_,
                                     spec::Status::kCreated, InContainer(*this, spec));
  if (!done.ok()) RETURN_IF_ERROR(EndProcesses());
  return done;
}

absl::Status Container::Start() {
  const UniqueFd lock = TRY_STATUS(directory_.Lock(kLockPatience));
  state_ = TRY_STATUS(directory_.LoadState());
  const spec::Status status = Status();
  if (status == spec::Status::kStopped) {
    return absl::FailedPreconditionError("cannot start a container that has stopped");
  }
  if (status != spec::Status::kCreated) {
    return absl::FailedPreconditionError("cannot start an already running container");
  }
  const spec::Spec spec = TRY_STATUS(directory_.LoadSpec());
  RETURN_IF_ERROR(RunStartHooks(spec));
  control::Request request;
  request.mutable_start()->set_container(state_.id);
  const absl::StatusOr<control::Reply> reply = Call(request);
  if (!reply.ok()) {
    return absl::Status(reply.status().code(),
                        absl::StrCat("unable to start container process: ", reply.status().message()));
  }
  state_.started = true;
  RETURN_IF_ERROR(directory_.SaveState(state_));
  return RunHooks(spec.hooks.poststart, "poststart", state_, spec::Status::kRunning, OnHost(state_));
}

absl::Status Container::Signal(int signal, bool all) {
  if (Status() == spec::Status::kStopped) return all ? absl::OkStatus() : NotRunning();
  control::Request request;
  control::SignalRequest* kill = request.mutable_signal();
  kill->set_container(state_.id);
  kill->set_signal(signal);
  kill->set_all(all);
  const absl::Status done = Call(request).status();
  if (done.ok() || !IsTransportError(done)) return done;
  // It may have ended while we asked.
  if (!sandbox::IsAlive(state_.sentry)) return all || signal == SIGKILL ? absl::OkStatus() : NotRunning();
  if (signal != SIGKILL) return done;
  // The pod's other containers are not to pay for it.
  return sandbox::KillAndWait(SandboxOf(state_).empty() ? state_.sentry : state_.monitor, kKillPatience);
}

absl::Status Container::ChangePause(bool pause) {
  const UniqueFd lock = TRY_STATUS(directory_.Lock(kLockPatience));
  const spec::Status status = Status();
  if (status == spec::Status::kStopped) return NotRunning();
  if (pause && status == spec::Status::kPaused)
    return absl::FailedPreconditionError("container already paused");
  if (!pause && status != spec::Status::kPaused) return absl::FailedPreconditionError("container not paused");
  control::Request request;
  (pause ? request.mutable_pause() : request.mutable_resume())->set_container(state_.id);
  return Call(request).status();
}

absl::Status Container::Pause() { return ChangePause(true); }
absl::Status Container::Resume() { return ChangePause(false); }

absl::StatusOr<int> Container::Wait() {
  if (Status() == spec::Status::kStopped) return NotRunning();
  sandbox::ControlClient client =
      TRY_STATUS(sandbox::ControlClient::Connect(ControlPath(directory_, state_), kCallPatience));
  control::Request request;
  request.mutable_wait()->set_container(state_.id);
  const control::Reply reply = TRY_STATUS(client.Call(request, absl::InfiniteDuration()));
  return static_cast<int>(reply.wait().wait_status());
}

absl::Status Container::AwaitEnd(absl::Duration patience) const {
  return sandbox::WaitForDeath(state_.monitor, patience);
}

absl::Status Container::EndProcesses() {
  const bool in_pod = !SandboxOf(state_).empty();
  if (!in_pod) {
    RETURN_IF_ERROR(sandbox::KillAndWait(state_.sentry, kKillPatience));
  } else if (sandbox::IsAlive(state_.sentry)) {
    DestroyInPod(ControlPath(directory_, state_), state_.id);
  }
  std::vector<spec::ProcessId> followers = {state_.monitor, state_.gofer};
  for (const spec::ExecId& exec : state_.execs) followers.push_back(exec.monitor);
  for (const spec::ProcessId& process : followers) {
    if (sandbox::WaitForDeath(process, kFollowPatience).ok()) continue;
    RETURN_IF_ERROR(sandbox::KillAndWait(process, kKillPatience));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> Container::LockToDelete(bool force) {
  absl::StatusOr<UniqueFd> lock = directory_.Lock(force ? kForcePatience : kLockPatience);
  if (!force || !absl::IsDeadlineExceeded(lock.status())) return lock;
  // Its holder may wait for a stuck sandbox, and gives up when that is gone.
  if (absl::StatusOr<spec::State> now = directory_.LoadState(); now.ok()) state_ = *std::move(now);
  RETURN_IF_ERROR(EndProcesses());
  return directory_.SeizeLock(kForcePatience);
}

absl::Status Container::Delete(bool force) {
  const UniqueFd lock = TRY_STATUS(LockToDelete(force));
  // What was read before the lock may be older than what its holder did.
  if (absl::StatusOr<spec::State> now = directory_.LoadState(); now.ok()) state_ = *std::move(now);
  const spec::Status status = force ? spec::Status::kStopped : Status();
  if (status != spec::Status::kStopped && status != spec::Status::kCreated && state_.ready) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot delete container ", state_.id,
                     " that is not stopped: ", std::string(spec::StatusName(status))));
  }
  RETURN_IF_ERROR(EndProcesses());
  const absl::Status freed = Groups().Remove(kKillPatience);
  if (!freed.ok()) LOG(kWarning, "cgroup: %s", FirstLine(freed));
  const absl::StatusOr<spec::Spec> spec = directory_.LoadSpec();
  RETURN_IF_ERROR(directory_.Remove());
  if (!spec.ok()) return absl::OkStatus();
  const absl::Status hooks =
      RunHooks(spec->hooks.poststop, "poststop", state_, spec::Status::kStopped, OnHost(state_));
  if (!hooks.ok()) LOG(kWarning, "%s", FirstLine(hooks));
  return absl::OkStatus();
}

absl::Status Container::Update(const spec::Resources& resources) {
  const UniqueFd lock = TRY_STATUS(directory_.Lock(kLockPatience));
  if (Status() == spec::Status::kStopped) return NotRunning();
  if (state_.cgroups.empty() && resources != spec::Resources()) {
    return absl::FailedPreconditionError("the container has no control group whose limits could change");
  }
  return Groups().Apply(resources, SandboxTasks());
}

absl::StatusOr<control::PsReply> Container::Processes() {
  if (Status() == spec::Status::kStopped) return NotRunning();
  control::Request request;
  request.mutable_ps()->set_container(state_.id);
  control::Reply reply = TRY_STATUS(Call(request));
  return std::move(*reply.mutable_ps());
}

std::vector<pid_t> Container::MonitorPids() const {
  std::vector<pid_t> pids;
  if (sandbox::IsAlive(state_.monitor)) pids.push_back(state_.monitor.pid);
  for (const spec::ExecId& exec : state_.execs) {
    if (sandbox::IsAlive(exec.monitor)) pids.push_back(exec.monitor.pid);
  }
  return pids;
}

absl::StatusOr<control::DebugReply> Container::Debug(control::DebugRequest::What what) {
  if (Status() == spec::Status::kStopped) return NotRunning();
  control::Request request;
  request.mutable_debug()->set_what(what);
  control::Reply reply = TRY_STATUS(Call(request));
  return std::move(*reply.mutable_debug());
}

absl::Status Container::AddExec(const spec::ExecId& exec) {
  const UniqueFd lock = TRY_STATUS(directory_.Lock(kLockPatience));
  state_ = TRY_STATUS(directory_.LoadState());
  std::erase_if(state_.execs, [](const spec::ExecId& old) { return !sandbox::IsAlive(old.monitor); });
  state_.execs.push_back(exec);
  return directory_.SaveState(state_);
}

}  // namespace cloister::container
