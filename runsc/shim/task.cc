#include "runsc/shim/task.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "runsc/cgroup/stats.h"
#include "runsc/shim/api/events.pb.h"
#include "runsc/shim/api/options.pb.h"
#include "runsc/shim/bundle_files.h"
#include "runsc/shim/mounts.h"
#include "runsc/shim/timestamp.h"
#include "runsc/shim/usage.h"

namespace cloister::shim {
namespace {

constexpr uint32_t kKilled = 128 + SIGKILL;
constexpr int kMaxNesting = 64;
constexpr absl::Duration kExecPatience = absl::Seconds(5);
constexpr absl::Duration kExitPatience = absl::Seconds(5);

UniqueFd OpenPidFd(pid_t pid) { return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

absl::Status Signal(const UniqueFd& pidfd, int signal) {
  if (pidfd.ok() && syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0)
    return absl::OkStatus();
  if (!pidfd.ok() || errno == ESRCH) return absl::NotFoundError("process already finished");
  return HostErrorNow("kill");
}

// process.json with "terminal" as the request has it: the streams follow the request.
absl::StatusOr<std::string> ExecSpec(const api::ExecProcessRequest& request) {
  // What is nested deeper is dropped: printing it would take a stack as deep.
  const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    return depth <= kMaxNesting;
  };
  nlohmann::json spec = nlohmann::json::parse(request.spec().value(), shallow, /*allow_exceptions=*/false);
  if (!spec.is_object()) return absl::InvalidArgumentError("spec: must be a JSON object");
  spec["terminal"] = request.terminal();
  return spec.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::Status CheckCreate(const api::CreateTaskRequest& request) {
  if (!IsPlainName(request.id())) return absl::InvalidArgumentError("id: not a plain name");
  if (request.bundle().empty() || request.bundle()[0] != '/') {
    return absl::InvalidArgumentError("bundle: must be an absolute path");
  }
  if (!request.checkpoint().empty())
    return absl::UnimplementedError("restoring a checkpoint is not supported");
  return absl::OkStatus();
}

}  // namespace

Task::Task(const TaskContext& context, const api::CreateTaskRequest& request, RuntimeConfig runtime)
    : context_(context),
      id_(request.id()),
      bundle_(request.bundle()),
      runsc_(std::move(runtime), context.name_space, request.bundle(), context.reaper) {}

absl::StatusOr<std::shared_ptr<Task>> Task::Create(const TaskContext& context,
                                                   const api::CreateTaskRequest& request) {
  RETURN_IF_ERROR(CheckCreate(request));
  const RuntimeConfig runtime = TRY_STATUS(ResolveRuntime(request.options()));
  RETURN_IF_ERROR(SaveRuntime(request.bundle(), runtime));
  std::shared_ptr<Task> task(new Task(context, request, runtime));
  const std::string root = request.bundle() + "/rootfs";
  RETURN_IF_ERROR(MountAll(request.rootfs(), root));
  const absl::Status made = task->Make(request);
  if (made.ok()) return task;
  UnmountAll(root).IgnoreError();
  return made;
}

absl::Status Task::Make(const api::CreateTaskRequest& request) {
  auto init = std::make_shared<Process>();
  init->paths = {request.stdin(), request.stdout(), request.stderr(), request.terminal()};
  init->stdio = TRY_STATUS(Stdio::Open(init->paths, id_, context_.name_space, context_.reaper));
  {
    absl::MutexLock lock(&mu_);
    processes_[""] = init;
  }
  const std::string pid_file = bundle_ + "/init.pid";
  const absl::Status launched = Launch(*init, "OCI runtime create failed",
                                       {"create", "--bundle", bundle_, "--pid-file", pid_file}, pid_file);
  if (!launched.ok()) {
    runsc_.Run("delete", {"delete", "--force", id_}).IgnoreError();
    return launched;
  }
  const pid_t pid = this->pid();
  WatchOom(pid);
  api::TaskCreate event;
  event.set_container_id(id_);
  event.set_bundle(bundle_);
  *event.mutable_rootfs() = request.rootfs();
  event.mutable_io()->set_stdin(request.stdin());
  event.mutable_io()->set_stdout(request.stdout());
  event.mutable_io()->set_stderr(request.stderr());
  event.mutable_io()->set_terminal(request.terminal());
  event.set_pid(static_cast<uint32_t>(pid));
  context_.publisher->Publish("/tasks/create", "TaskCreate", event);
  return absl::OkStatus();
}

absl::Status Task::Launch(Process& process, std::string_view what, std::vector<std::string> args,
                          const std::string& pid_file) {
  const Reaper::Expectation expectation(context_.reaper);
  std::optional<ConsoleSocket> console;
  if (process.paths.terminal) {
    int number;
    {
      absl::MutexLock lock(&mu_);
      number = consoles_++;
    }
    console.emplace(TRY_STATUS(ConsoleSocket::Listen(bundle_, absl::StrCat("console-", number, ".sock"))));
    args.insert(args.end(), {"--console-socket", console->name()});
  }
  args.push_back(id_);
  RETURN_IF_ERROR(runsc_.Run(what, args, process.stdio->fds()));
  const pid_t pid = TRY_STATUS(ReadPidFile(pid_file));
  Adopt(process, pid);
  UniqueFd master;
  if (console.has_value()) {
    absl::StatusOr<UniqueFd> received = console->Receive();
    if (!received.ok()) {
      absl::MutexLock lock(&mu_);
      Signal(process.pidfd, SIGKILL).IgnoreError();
      return received.status();
    }
    master = *std::move(received);
  }
  return process.stdio->Started(std::move(master));
}

void Task::Adopt(Process& process, pid_t pid) {
  UniqueFd pidfd = OpenPidFd(pid);
  {
    absl::MutexLock lock(&mu_);
    process.pid = pid;
    process.pidfd = std::move(pidfd);
  }
  context_.reaper->Watch(pid, [weak = weak_from_this(), exec_id = process.exec_id](const Exit& exit) {
    if (const std::shared_ptr<Task> self = weak.lock()) self->Reaped(exec_id, exit);
  });
}

void Task::WatchOom(pid_t pid) {
  absl::StatusOr<cgroup::Group> group = GroupOf(pid);
  if (!group.ok()) {
    LOG(kWarning, "%s: control groups: %s", id_, group.status().message());
    return;
  }
  // Without a group of its own a container is in the shim's, which says nothing of it.
  const absl::StatusOr<cgroup::Group> own = GroupOf(getpid());
  if (own.ok() && own->DirectoryOf("memory") == group->DirectoryOf("memory")) return;
  const absl::StatusOr<int> key = context_.oom_watcher->Watch(*group, [weak = weak_from_this()] {
    const std::shared_ptr<Task> self = weak.lock();
    if (self == nullptr) return;
    absl::MutexLock lock(&self->mu_);
    self->TellOomLocked();
  });
  if (!key.ok()) LOG(kWarning, "%s: no notice of OOM: %s", id_, key.status().message());
  absl::MutexLock lock(&mu_);
  oom_kills_ = cgroup::OomKills(*group);
  group_ = *std::move(group);
  oom_key_ = key.value_or(-1);
}

absl::StatusOr<Task::ProcessRef> Task::FindLocked(const std::string& exec_id) {
  const auto found = processes_.find(exec_id);
  if (found != processes_.end()) return found->second;
  return absl::NotFoundError(absl::StrCat("process ", exec_id, " does not exist"));
}

absl::StatusOr<Task::ProcessRef> Task::FindRunningLocked(const std::string& exec_id) {
  ProcessRef process = TRY_STATUS(FindLocked(exec_id));
  if (process->phase == Phase::kStopped || process->pending.has_value()) {
    return absl::NotFoundError("process already finished");
  }
  if (process->pid == 0) return absl::FailedPreconditionError("the process is not running");
  return process;
}

pid_t Task::pid() {
  absl::MutexLock lock(&mu_);
  const absl::StatusOr<ProcessRef> init = FindLocked("");
  return init.ok() ? (*init)->pid : 0;
}

absl::Status Task::Exec(const api::ExecProcessRequest& request) {
  if (!IsPlainName(request.exec_id())) return absl::InvalidArgumentError("exec_id: not a plain name");
  auto process = std::make_shared<Process>();
  process->exec_id = request.exec_id();
  process->paths = {request.stdin(), request.stdout(), request.stderr(), request.terminal()};
  process->spec = TRY_STATUS(ExecSpec(request));
  api::TaskExecAdded event;
  event.set_container_id(id_);
  event.set_exec_id(request.exec_id());
  absl::MutexLock lock(&mu_);
  const ProcessRef init = TRY_STATUS(FindLocked(""));
  if (init->phase == Phase::kStopped) {
    return absl::FailedPreconditionError("cannot exec in a stopped container");
  }
  if (paused_) return absl::FailedPreconditionError("cannot exec in a paused container");
  if (!processes_.emplace(request.exec_id(), std::move(process)).second) {
    return absl::AlreadyExistsError(absl::StrCat("id ", request.exec_id()));
  }
  context_.publisher->Publish("/tasks/exec-added", "TaskExecAdded", event);
  return absl::OkStatus();
}

absl::Status Task::StartExec(Process& process) {
  process.stdio =
      TRY_STATUS(Stdio::Open(process.paths, process.exec_id, context_.name_space, context_.reaper));
  const std::string spec_name = absl::StrCat("exec-", process.exec_id, ".json");
  const std::string spec_path = absl::StrCat(bundle_, "/", spec_name);
  const std::string pid_file = absl::StrCat(bundle_, "/exec-", process.exec_id, ".pid");
  RETURN_IF_ERROR(WriteInBundle(bundle_, spec_name, process.spec));
  const absl::Status launched =
      Launch(process, "OCI runtime exec failed",
             {"exec", "--process", spec_path, "--detach", "--pid-file", pid_file}, pid_file);
  unlink(spec_path.c_str());
  unlink(pid_file.c_str());
  return launched;
}

absl::StatusOr<pid_t> Task::Start(const std::string& exec_id) {
  ProcessRef process;
  {
    absl::MutexLock lock(&mu_);
    process = TRY_STATUS(FindLocked(exec_id));
    if (process->phase != Phase::kCreated || process->removing) {
      return absl::FailedPreconditionError("the process has been started already");
    }
    process->phase = Phase::kStarting;
  }
  const absl::Status started =
      exec_id.empty() ? runsc_.Run("OCI runtime start failed", {"start", id_}) : StartExec(*process);
  pid_t pid;
  {
    absl::MutexLock lock(&mu_);
    process->phase = started.ok() ? Phase::kRunning : Phase::kCreated;
    pid = process->pid;
    if (started.ok() && exec_id.empty()) {
      api::TaskStart event;
      event.set_container_id(id_);
      event.set_pid(static_cast<uint32_t>(pid));
      context_.publisher->Publish("/tasks/start", "TaskStart", event);
    } else if (started.ok()) {
      api::TaskExecStarted event;
      event.set_container_id(id_);
      event.set_exec_id(exec_id);
      event.set_pid(static_cast<uint32_t>(pid));
      context_.publisher->Publish("/tasks/exec-started", "TaskExecStarted", event);
    }
  }
  TellExits();
  if (!started.ok()) return started;
  return pid;
}

void Task::Reaped(const std::string& exec_id, const Exit& exit) {
  bool execs_live;
  {
    absl::MutexLock lock(&mu_);
    const absl::StatusOr<ProcessRef> process = FindLocked(exec_id);
    if (!process.ok()) return;
    (*process)->pending = exit;
    execs_live = ExecsLiveLocked();
  }
  if (exec_id.empty() && execs_live) {
    std::thread([self = shared_from_this()] { self->EndExecs(); }).detach();
  }
  TellExits();
}

// With the first process the others have died, and their monitors end by themselves; a wedged sentry may not
// keep the container's end from being told.
void Task::EndExecs() {
  absl::MutexLock lock(&mu_);
  const auto none_left = +[](Task* self) ABSL_NO_THREAD_SAFETY_ANALYSIS { return !self->ExecsLiveLocked(); };
  if (mu_.AwaitWithTimeout(absl::Condition(none_left, this), kExecPatience)) return;
  for (const auto& [exec_id, process] : processes_) {
    if (!exec_id.empty() && process->pid != 0) Signal(process->pidfd, SIGKILL).IgnoreError();
  }
}

bool Task::ExecsLiveLocked() const {
  for (const auto& [exec_id, process] : processes_) {
    if (exec_id.empty()) continue;
    if (process->phase == Phase::kStarting || process->phase == Phase::kRunning) return true;
  }
  return false;
}

void Task::TellExits() {
  std::vector<std::pair<OnExit, Exit>> due;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [exec_id, process] : processes_) {
      if (!exec_id.empty()) TellExitLocked(*process);
    }
    const absl::StatusOr<ProcessRef> init = FindLocked("");
    if (init.ok() && (*init)->pending.has_value() && !ExecsLiveLocked()) {
      TellOomLocked();
      TellExitLocked(**init);
    }
    due.swap(due_);
  }
  for (const auto& [on_exit, exit] : due) on_exit(exit);
}

void Task::TellExitLocked(Process& process) {
  if (!process.pending.has_value() || process.phase == Phase::kStarting) return;
  process.exit = *process.pending;
  process.pending.reset();
  process.phase = Phase::kStopped;
  if (process.exec_id.empty()) paused_ = false;
  if (process.stdio != nullptr) process.stdio->Ended();
  api::TaskExit event;
  event.set_container_id(id_);
  event.set_id(process.exec_id.empty() ? id_ : process.exec_id);
  event.set_pid(static_cast<uint32_t>(process.pid));
  event.set_exit_status(process.exit.status);
  *event.mutable_exited_at() = ToTimestamp(process.exit.at);
  context_.publisher->Publish("/tasks/exit", "TaskExit", event);
  for (OnExit& on_exit : process.waiting) due_.emplace_back(std::move(on_exit), process.exit);
  process.waiting.clear();
}

void Task::TellOomLocked() {
  if (!group_.has_value()) return;
  const uint64_t kills = cgroup::OomKills(*group_);
  if (kills <= oom_kills_) return;
  oom_kills_ = kills;
  api::TaskOOM event;
  event.set_container_id(id_);
  context_.publisher->Publish("/tasks/oom", "TaskOOM", event);
}

absl::Status Task::Wait(const std::string& exec_id, OnExit on_exit) {
  Exit exit;
  {
    absl::MutexLock lock(&mu_);
    const ProcessRef process = TRY_STATUS(FindLocked(exec_id));
    if (process->phase != Phase::kStopped) {
      process->waiting.push_back(std::move(on_exit));
      return absl::OkStatus();
    }
    exit = process->exit;
  }
  on_exit(exit);
  return absl::OkStatus();
}

absl::StatusOr<api::DeleteResponse> Task::Delete(const std::string& exec_id) {
  ProcessRef process;
  {
    absl::MutexLock lock(&mu_);
    process = TRY_STATUS(FindLocked(exec_id));
    if (process->phase == Phase::kStarting || process->phase == Phase::kRunning || process->removing) {
      return absl::FailedPreconditionError("cannot delete a running process");
    }
    process->removing = true;
  }
  if (exec_id.empty()) {
    const absl::Status removed = RemoveContainer(*process);
    if (!removed.ok()) {
      absl::MutexLock lock(&mu_);
      process->removing = false;
      return removed;
    }
  }
  api::DeleteResponse response;
  absl::MutexLock lock(&mu_);
  if (process->phase != Phase::kStopped) process->exit = {kKilled, absl::Now()};
  response.set_pid(static_cast<uint32_t>(process->pid));
  response.set_exit_status(process->exit.status);
  *response.mutable_exited_at() = ToTimestamp(process->exit.at);
  processes_.erase(exec_id);
  if (!exec_id.empty()) return response;
  api::TaskDelete event;
  event.set_container_id(id_);
  event.set_pid(response.pid());
  event.set_exit_status(response.exit_status());
  *event.mutable_exited_at() = response.exited_at();
  context_.publisher->Publish("/tasks/delete", "TaskDelete", event);
  return response;
}

absl::Status Task::RemoveContainer(Process& process) {
  const absl::Status deleted = runsc_.Run("OCI runtime delete failed", {"delete", id_});
  if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
  // One that was never started ends by that.
  const auto ended = +[](Process* one) { return one->phase == Phase::kStopped; };
  int oom_key;
  {
    absl::MutexLock lock(&mu_);
    mu_.AwaitWithTimeout(absl::Condition(ended, &process), kExitPatience);
    oom_key = oom_key_;
  }
  context_.oom_watcher->Forget(oom_key);
  const absl::Status unmounted = UnmountAll(bundle_ + "/rootfs");
  if (!unmounted.ok()) LOG(kWarning, "%s: %s", id_, unmounted.message());
  return absl::OkStatus();
}

absl::Status Task::Kill(const api::KillRequest& request) {
  if (request.signal() == 0 || request.signal() >= NSIG)
    return absl::InvalidArgumentError("signal: no such signal");
  {
    absl::MutexLock lock(&mu_);
    const ProcessRef process = TRY_STATUS(FindRunningLocked(request.exec_id()));
    if (!request.exec_id().empty()) return Signal(process->pidfd, static_cast<int>(request.signal()));
  }
  std::vector<std::string> args = {"kill"};
  if (request.all()) args.push_back("--all");
  args.insert(args.end(), {id_, absl::StrCat(request.signal())});
  return runsc_.Run("OCI runtime kill failed", args);
}

absl::Status Task::Pause() {
  {
    absl::MutexLock lock(&mu_);
    const ProcessRef init = TRY_STATUS(FindRunningLocked(""));
    if (init->phase != Phase::kRunning || paused_) {
      return absl::FailedPreconditionError("cannot pause what does not run");
    }
  }
  RETURN_IF_ERROR(runsc_.Run("OCI runtime pause failed", {"pause", id_}));
  api::TaskPaused event;
  event.set_container_id(id_);
  absl::MutexLock lock(&mu_);
  paused_ = true;
  context_.publisher->Publish("/tasks/paused", "TaskPaused", event);
  return absl::OkStatus();
}

absl::Status Task::Resume() {
  {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(FindRunningLocked("").status());
    if (!paused_) return absl::FailedPreconditionError("cannot resume what is not paused");
  }
  RETURN_IF_ERROR(runsc_.Run("OCI runtime resume failed", {"resume", id_}));
  api::TaskResumed event;
  event.set_container_id(id_);
  absl::MutexLock lock(&mu_);
  paused_ = false;
  context_.publisher->Publish("/tasks/resumed", "TaskResumed", event);
  return absl::OkStatus();
}

absl::Status Task::Update(const std::string& resources) {
  {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(FindRunningLocked("").status());
  }
  return runsc_.Output("OCI runtime update failed", {"update", "--resources", "-", id_}, resources).status();
}

absl::StatusOr<api::StateResponse> Task::State(const std::string& exec_id) {
  absl::MutexLock lock(&mu_);
  const ProcessRef process = TRY_STATUS(FindLocked(exec_id));
  api::StateResponse state;
  state.set_id(id_);
  state.set_exec_id(exec_id);
  state.set_bundle(bundle_);
  state.set_pid(static_cast<uint32_t>(process->pid));
  state.set_stdin(process->paths.in);
  state.set_stdout(process->paths.out);
  state.set_stderr(process->paths.err);
  state.set_terminal(process->paths.terminal);
  switch (process->phase) {
    case Phase::kCreated:
    case Phase::kStarting:
      state.set_status(api::STATUS_CREATED);
      break;
    case Phase::kRunning:
      state.set_status(paused_ && exec_id.empty() ? api::STATUS_PAUSED : api::STATUS_RUNNING);
      break;
    case Phase::kStopped:
      state.set_status(api::STATUS_STOPPED);
      state.set_exit_status(process->exit.status);
      *state.mutable_exited_at() = ToTimestamp(process->exit.at);
      break;
  }
  return state;
}

absl::StatusOr<api::PidsResponse> Task::Pids() {
  const std::string text =
      TRY_STATUS(runsc_.Output("OCI runtime ps failed", {"ps", "--format", "json", id_}));
  const nlohmann::json pids = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!pids.is_array()) return absl::DataLossError("runsc ps has printed no list");
  api::PidsResponse response;
  absl::MutexLock lock(&mu_);
  for (const nlohmann::json& pid : pids) {
    if (!pid.is_number_unsigned()) continue;
    api::ProcessInfo* info = response.add_processes();
    info->set_pid(pid.get<uint32_t>());
    for (const auto& [exec_id, process] : processes_) {
      if (exec_id.empty() || process->pid != static_cast<pid_t>(info->pid())) continue;
      api::ProcessDetails details;
      details.set_exec_id(exec_id);
      info->mutable_info()->set_type_url("containerd.runc.v1.ProcessDetails");
      info->mutable_info()->set_value(details.SerializeAsString());
    }
  }
  return response;
}

absl::StatusOr<api::Any> Task::Stats() {
  absl::MutexLock lock(&mu_);
  if (!group_.has_value()) return absl::NotFoundError("the container has no control group");
  return ReadUsage(*group_);
}

absl::Status Task::ResizePty(const api::ResizePtyRequest& request) {
  std::shared_ptr<Stdio> stdio;
  {
    absl::MutexLock lock(&mu_);
    stdio = TRY_STATUS(FindRunningLocked(request.exec_id()))->stdio;
  }
  return stdio->Resize(request.width(), request.height());
}

absl::Status Task::CloseIo(const api::CloseIORequest& request) {
  std::shared_ptr<Stdio> stdio;
  {
    absl::MutexLock lock(&mu_);
    stdio = TRY_STATUS(FindLocked(request.exec_id()))->stdio;
  }
  if (request.stdin() && stdio != nullptr) stdio->CloseInput();
  return absl::OkStatus();
}

}  // namespace cloister::shim
