#include "runsc/container/create.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "gofer/protocol/config.h"
#include "runsc/container/directory.h"
#include "runsc/container/filter.h"
#include "runsc/container/groups.h"
#include "runsc/container/hooks.h"
#include "runsc/container/pod.h"
#include "runsc/container/terminal.h"
#include "runsc/sandbox/control_client.h"
#include "runsc/sandbox/gofer_process.h"
#include "runsc/sandbox/helper.h"
#include "runsc/sandbox/host_facts.h"
#include "runsc/sandbox/monitor.h"
#include "runsc/sandbox/network.h"
#include "runsc/sandbox/process.h"
#include "runsc/sandbox/sentry_process.h"
#include "runsc/spec/to_control.h"

namespace cloister::container {
namespace {

constexpr absl::Duration kStartPatience = absl::Seconds(30);
constexpr absl::Duration kKillPatience = absl::Seconds(10);

// One container on its way; ends what it has begun, unless Keep is called.
class Creation {
 public:
  Creation(const Runtime& runtime, const CreateOptions& options) : runtime_(runtime), options_(options) {}
  ~Creation();

  absl::StatusOr<CreatedContainer> Run();

 private:
  absl::Status OpenRoot();
  absl::Status OpenMounts(control::Container* container);
  absl::StatusOr<control::BootConfig> MakeBootConfig();
  absl::StatusOr<control::Container> MakeContainer();
  absl::StatusOr<sandbox::NetworkPlan> PlanNetwork() const;
  std::vector<sandbox::ViewMount> MakeView() const;
  absl::Status StartProcesses();
  absl::Status AwaitCreated();
  void AdjustOomScores() const;
  absl::Status RunCreateHooks();
  absl::Status Finish();
  void InitState();
  absl::Status MakeGroups();
  absl::Status Identify(pid_t pid, spec::ProcessId* process);

  bool in_pod() const { return pod_.role == PodRole::kContainer; }

  const Runtime& runtime_;
  const CreateOptions& options_;
  std::string rootfs_;
  std::optional<Directory> directory_;  // made by this object
  UniqueFd lock_;
  UniqueFd control_socket_;
  std::vector<sandbox::AttachPoint> attach_;
  Stdio stdio_;
  spec::State state_;
  cgroup::Group group_;
  PodPlan pod_;
  control::Container container_;  // in a pod
  sandbox::GoferProcess gofer_;
  sandbox::MonitorProcess monitor_;
  sandbox::SentryProcess sentry_;
  bool kept_ = false;
};

std::string FormatNow() {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E9SZ", absl::Now(), absl::UTCTimeZone());
}

Creation::~Creation() {
  if (kept_) return;
  if (in_pod() && directory_.has_value()) DestroyInPod(pod_.control_path, options_.id);
  // The children of this process; nobody else can have reaped them.
  for (const pid_t pid : {sentry_.pid, monitor_.pid, gofer_.pid}) {
    if (pid <= 0) continue;
    const absl::StatusOr<spec::ProcessId> process = sandbox::IdentifyProcess(pid);
    const absl::Status ended =
        sandbox::KillAndWait(process.value_or(spec::ProcessId{.pid = pid}), kKillPatience);
    if (!ended.ok()) continue;  // a process that the kernel cannot end is not ours to wait for
  }
  group_.Remove(kKillPatience).IgnoreError();
  if (directory_.has_value()) directory_->Remove().IgnoreError();
}

absl::Status Creation::OpenRoot() {
  const std::string& path = options_.spec.root.path;
  rootfs_ = spec::CleanPath(path[0] == '/' ? path : absl::StrCat(options_.bundle, "/", path));
  absl::StatusOr<UniqueFd> fd = gofer::OpenAttachPoint(rootfs_);
  if (!fd.ok()) return absl::Status(fd.status().code(), absl::StrCat("root.path: ", fd.status().message()));
  struct stat info;
  if (fstat(fd->get(), &info) != 0) return HostErrorNow(rootfs_);
  if (!S_ISDIR(info.st_mode))
    return absl::InvalidArgumentError(absl::StrCat("root.path: ", rootfs_, ": not a directory"));
  sandbox::AttachPoint& root = attach_.emplace_back();
  root.fd = std::move(*fd);
  root.readonly = options_.spec.root.readonly || runtime_.root_overlay;
  return absl::OkStatus();
}

absl::Status Creation::OpenMounts(control::Container* container) {
  for (size_t i = 0; i < options_.spec.mounts.size(); ++i) {
    const spec::Mount& mount = options_.spec.mounts[i];
    if (!mount.bind) continue;
    const std::string source =
        mount.source[0] == '/' ? mount.source : absl::StrCat(options_.bundle, "/", mount.source);
    absl::StatusOr<UniqueFd> fd = gofer::OpenAttachPoint(source);
    if (!fd.ok()) {
      return absl::Status(fd.status().code(),
                          absl::StrCat("mounts[", i, "].source: ", fd.status().message()));
    }
    struct stat info;
    if (fstat(fd->get(), &info) != 0) return HostErrorNow(source);
    control::Mount* out = container->mutable_mounts(static_cast<int>(i));
    out->set_gofer_mount(static_cast<int>(attach_.size()));
    out->set_is_file(!S_ISDIR(info.st_mode));
    out->set_shared_access(true);
    sandbox::AttachPoint& point = attach_.emplace_back();
    point.fd = std::move(*fd);
    point.readonly = (mount.flags & MS_RDONLY) != 0;
  }
  return absl::OkStatus();
}

absl::StatusOr<sandbox::NetworkPlan> Creation::PlanNetwork() const {
  sandbox::NetworkPlan plan;
  if (in_pod()) {
    plan.kind = sandbox::NetworkKind::kJoined;
    plan.path = pod_.network_path;
    return plan;
  }
  plan.sysctl = options_.spec.sysctl;
  if (runtime_.network == Runtime::Network::kNone) return plan;
  const spec::Namespace* network = options_.spec.FindNamespace(spec::NamespaceType::kNetwork);
  if (network == nullptr) {
    plan.kind = sandbox::NetworkKind::kCallers;
  } else if (!network->path.empty()) {
    plan.kind = sandbox::NetworkKind::kJoined;
    plan.path = network->path;
  } else if (geteuid() == 0) {
    plan.kind = sandbox::NetworkKind::kNew;
  }
  return plan;
}

absl::StatusOr<control::Container> Creation::MakeContainer() {
  control::Container container = spec::ToControl(options_.spec, options_.id);
  RETURN_IF_ERROR(PutFilter(options_.spec, container.mutable_process()));
  container.set_root_overlay(runtime_.root_overlay);
  container.set_root_shared(runtime_.root_shared);
  container.set_pid_namespace(pod_.pid_namespace);
  RETURN_IF_ERROR(OpenMounts(&container));
  return container;
}

absl::StatusOr<control::BootConfig> Creation::MakeBootConfig() {
  control::BootConfig config;
  *config.mutable_container() = TRY_STATUS(MakeContainer());
  config.set_pod(pod_.role == PodRole::kSandbox);
  config.set_network(runtime_.network == Runtime::Network::kNone ? control::NETWORK_NONE
                                                                 : control::NETWORK_HOST);
  config.set_platform(runtime_.platform);
  config.set_strace(runtime_.strace);
  config.set_no_spin(!runtime_.spin);
  config.set_no_patch(!runtime_.patch);
  config.set_no_native_futexes(!runtime_.native_futexes);
  config.set_no_native_reads(!runtime_.native_reads);
  config.set_debug_level(runtime_.debug_level);
  config.set_fd_count(stdio_.pty.has_value() ? 0 : 3);
  config.set_preserved_fds(static_cast<uint32_t>(stdio_.preserved.size()));
  sandbox::FillHostFacts(&config);
  return config;
}

void Creation::InitState() {
  state_.oci_version = options_.spec.oci_version;
  state_.id = options_.id;
  state_.bundle = options_.bundle;
  state_.rootfs = rootfs_;
  state_.created = FormatNow();
  state_.annotations = options_.spec.annotations;
  state_.sentry = pod_.sandbox.sentry;
  state_.owner = geteuid() == 0 ? "root" : absl::StrCat(geteuid());
}

absl::Status Creation::MakeGroups() {
  const auto note = [this](const cgroup::Group& planned) {
    state_.cgroups = planned.directories();
    return directory_->SaveState(state_);
  };
  group_ = TRY_STATUS(MakeGroup(options_.spec, options_.id, runtime_.systemd_cgroup, note));
  if (!group_.directories().empty()) return absl::OkStatus();
  return note(group_);
}

absl::Status Creation::Identify(pid_t pid, spec::ProcessId* process) {
  const absl::StatusOr<spec::ProcessId> found = sandbox::IdentifyProcess(pid);
  // One that is dead already gets a start time that no later process can have.
  *process = found.value_or(spec::ProcessId{.pid = pid, .start_time = 0});
  return absl::OkStatus();
}

// Empty where the caller may not make one.
std::vector<sandbox::ViewMount> Creation::MakeView() const {
  std::vector<sandbox::ViewMount> view;
  size_t next = 0;  // of attach_: the root, then every bind mount in its order
  const auto add = [&](const std::string& destination, bool readonly) {
    absl::StatusOr<sandbox::ViewMount> made =
        sandbox::MakeViewMount(attach_[next++].fd.get(), destination, readonly);
    if (!made.ok()) return false;
    view.push_back(*std::move(made));
    return true;
  };
  if (geteuid() != 0 || !add("/", options_.spec.root.readonly)) return {};
  for (const spec::Mount& mount : options_.spec.mounts) {
    if (mount.bind && !add(mount.destination, (mount.flags & MS_RDONLY) != 0)) return {};
  }
  return view;
}

absl::Status Creation::StartProcesses() {
  sandbox::SentryOptions sentry;
  if (in_pod()) {
    container_ = TRY_STATUS(MakeContainer());
  } else {
    sentry.config = TRY_STATUS(MakeBootConfig());
  }
  sentry.network = TRY_STATUS(PlanNetwork());
  std::vector<sandbox::ViewMount> view = MakeView();
  RETURN_IF_ERROR(sandbox::RunInHelper([&]() -> absl::Status {
    RETURN_IF_ERROR(group_.Join());
    gofer_ = TRY_STATUS(sandbox::StartGofer(attach_, runtime_.debug_log, runtime_.debug_level, CLONE_PARENT));
    RETURN_IF_ERROR(sandbox::EnterNetwork(sentry.network));
    monitor_ = TRY_STATUS(
        sandbox::StartMonitor(stdio_.pty.has_value() ? stdio_.fds[0] : -1, std::move(view), CLONE_PARENT));
    if (in_pod()) return absl::OkStatus();
    sentry.gofer_channel = gofer_.channel.get();
    sentry.control_socket = control_socket_.get();
    sentry.log = runtime_.debug_log;
    sentry.monitor = monitor_.sentry_end.get();
    sentry.stdio = stdio_.fds;
    sentry.preserved = stdio_.preserved;
    sentry.clone_flags = CLONE_PARENT;
    sentry.oom_score_adj = options_.spec.process->oom_score_adj.value_or(sentry.oom_score_adj);
    sentry_ = TRY_STATUS(sandbox::StartSentry(sentry));
    return absl::OkStatus();
  }));
  attach_.clear();
  control_socket_.reset();
  RETURN_IF_ERROR(Identify(gofer_.pid, &state_.gofer));
  RETURN_IF_ERROR(Identify(monitor_.pid, &state_.monitor));
  return in_pod() ? absl::OkStatus() : Identify(sentry_.pid, &state_.sentry);
}

// The container stands before its first instruction.
absl::Status Creation::AwaitCreated() {
  absl::Status ready;
  if (in_pod()) {
    control::CreateRequest request;
    *request.mutable_container() = std::move(container_);
    request.set_preserved_fds(static_cast<uint32_t>(stdio_.preserved.size()));
    std::vector<int> stdio = stdio_.fds;
    stdio.insert(stdio.end(), stdio_.preserved.begin(), stdio_.preserved.end());
    const int fixed[] = {gofer_.channel.get(), monitor_.sentry_end.get()};
    ready = CreateInPod(pod_, std::move(request), fixed, group_, stdio);
  }
  gofer_.channel.reset();
  monitor_.sentry_end.reset();
  if (stdio_.pty.has_value()) stdio_.pty->slave.reset();
  if (!in_pod()) ready = sandbox::AwaitReady(sentry_, kStartPatience);
  if (ready.ok()) return ready;
  // A gofer that could not start is the cause of what the sentry says.
  char complaint[512];
  const ssize_t got = read(gofer_.errors.get(), complaint, sizeof complaint);
  if (got > 0) return absl::InternalError(std::string(complaint, static_cast<size_t>(got)));
  return absl::Status(ready.code(), absl::StrCat("unable to start container process: ", ready.message()));
}

// The sentry has it already. Where it cannot be set, the guest sees the value it asked for all the same.
void Creation::AdjustOomScores() const {
  const std::optional<int32_t> score = options_.spec.process->oom_score_adj;
  if (!score.has_value()) return;
  for (const pid_t pid : {monitor_.pid, gofer_.pid}) sandbox::AdjustOomScore(pid, *score);
}

absl::Status Creation::RunCreateHooks() {
  const spec::Hooks& hooks = options_.spec.hooks;
  const HookLauncher on_host = OnHost(state_);
  RETURN_IF_ERROR(RunHooks(hooks.prestart, "prestart", state_, spec::Status::kCreating, on_host));
  RETURN_IF_ERROR(RunHooks(hooks.create_runtime, "createRuntime", state_, spec::Status::kCreating, on_host));
  return RunHooks(hooks.create_container, "createContainer", state_, spec::Status::kCreating, on_host);
}

absl::Status Creation::Finish() {
  if (!options_.console_socket.empty())
    RETURN_IF_ERROR(sandbox::SendConsole(options_.console_socket, *stdio_.pty));
  state_.ready = true;
  RETURN_IF_ERROR(directory_->SaveState(state_));
  if (!options_.pid_file.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(options_.pid_file, absl::StrCat(monitor_.pid), 0644));
  }
  // Killed, an attached caller takes its container along.
  return options_.attached ? absl::OkStatus() : sandbox::ConfirmMonitor(monitor_);
}

absl::StatusOr<CreatedContainer> Creation::Run() {
  RETURN_IF_ERROR(CheckId(options_.id));
  if (!options_.spec.process.has_value()) return absl::InvalidArgumentError("process: must be given");
  pod_ = TRY_STATUS(PlanPod(runtime_.root, options_.spec));
  directory_ = TRY_STATUS(Directory::Create(runtime_.root, options_.id));
  lock_ = TRY_STATUS(directory_->Lock(kKillPatience));
  stdio_ = TRY_STATUS(
      MakeStdio(*options_.spec.process, options_.console_socket, options_.attached, options_.preserve_fds));
  RETURN_IF_ERROR(OpenRoot());
  InitState();
  RETURN_IF_ERROR(directory_->SaveConfig(options_.config_text));
  RETURN_IF_ERROR(MakeGroups());
  if (!in_pod()) control_socket_ = TRY_STATUS(sandbox::ListenForControl(directory_->path()));
  RETURN_IF_ERROR(StartProcesses());
  AdjustOomScores();
  RETURN_IF_ERROR(directory_->SaveState(state_));
  RETURN_IF_ERROR(AwaitCreated());
  if (!sandbox::IsAlive(state_.monitor))
    return absl::InternalError("the monitor ended before the container was created");
  RETURN_IF_ERROR(RunCreateHooks());
  RETURN_IF_ERROR(Finish());
  kept_ = true;
  CreatedContainer created;
  created.monitor = monitor_.pid;
  created.leash = std::move(monitor_.confirm);
  if (stdio_.pty.has_value() && options_.console_socket.empty())
    created.master = std::move(stdio_.pty->master);
  return created;
}

}  // namespace

absl::StatusOr<CreatedContainer> Create(const Runtime& runtime, const CreateOptions& options) {
  absl::StatusOr<CreatedContainer> created = Creation(runtime, options).Run();
  if (created.ok() || absl::IsAlreadyExists(created.status())) return created;
  return absl::Status(created.status().code(),
                      absl::StrCat("runc ", options.verb, " failed: ", created.status().message()));
}

}  // namespace cloister::container
