// How containers come into a sandbox, and leave it.

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "sentry/boot/gofer_mounts.h"
#include "sentry/boot/mounts.h"
#include "sentry/boot/program.h"
#include "sentry/boot/sandbox.h"
#include "sentry/boot/terminal.h"
#include "sentry/ipc/ipc_sysctl.h"
#include "sentry/task/container_table.h"
#include "sentry/task/task.h"
#include "sentry/wait/poller.h"

namespace cloister::boot {
namespace {

// linux.sysctl of config.json: those of the IPC and UTS namespaces. net.… is runsc's.
absl::Status ApplySysctls(task::Kernel& kernel, const control::Container& container) {
  for (const auto& [name, value] : container.sysctl()) {
    if (name == "kernel.domainname") kernel.SetDomainname(value);
    if (name == "kernel.hostname") kernel.SetHostname(value);
    const ipc::IpcSysctl* const sysctl = ipc::FindIpcSysctl(name);
    if (sysctl == nullptr) continue;
    const ErrnoOrVoid written = sysctl->write(*kernel.ipc(), value);
    if (!written.ok()) return ToStatus(written.error(), absl::StrCat("sysctl ", name, " = ", value));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> Duplicate(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.ok()) return HostErrorNow("duplicate a descriptor");
  return copy;
}

// Moves host processes by files as cgroup.procs is: one write of a number each.
task::ContainerTable::Placer PlacerOf(std::vector<UniqueFd> files) {
  const auto shared = std::make_shared<const std::vector<UniqueFd>>(std::move(files));
  return [shared](pid_t host_pid) {
    const std::string number = absl::StrCat(host_pid);
    for (const UniqueFd& file : *shared) {
      // ESRCH: it has died meanwhile.
      if (write(file.get(), number.data(), number.size()) < 0 && errno != ESRCH) {
        LOG(kWarning, "process %d does not enter its container's control group: %s", host_pid,
            strerror(errno));
      }
    }
  };
}

std::vector<UniqueFd> TakeFirst(std::vector<UniqueFd>* fds, size_t count) {
  std::vector<UniqueFd> taken;
  for (size_t i = 0; i < count; ++i) taken.push_back(std::move((*fds)[i]));
  fds->erase(fds->begin(), fds->begin() + static_cast<std::ptrdiff_t>(count));
  return taken;
}

}  // namespace

absl::Status Sandbox::CreateFirst(const control::Container& config, UniqueFd monitor,
                                  std::vector<UniqueFd> stdio) {
  kernel_.SetHostname(config.hostname());
  kernel_.SetDomainname(config.domainname());
  const auto container = std::make_shared<Container>();
  container->id = config.id();
  container->first = true;
  return Make(container, config, gofer_, std::move(monitor), std::move(stdio));
}

// Whose names it uses must be there, and its own must be free.
absl::Status Sandbox::CheckNew(const control::Container& config) {
  if (config.id().empty()) return absl::InvalidArgumentError("a container needs an id");
  absl::MutexLock lock(&mu_);
  if (FindLocked(config.id()) != nullptr)
    return absl::AlreadyExistsError("container with given ID already exists");
  const std::string& other = config.pid_namespace();
  if (other.empty()) return absl::OkStatus();
  const ContainerRef holder = FindLocked(other);
  if (holder == nullptr || holder->init.ended) {
    return absl::FailedPreconditionError(
        absl::StrCat("the container ", other, ", whose PID namespace is wanted, does not run"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Sandbox::Created> Sandbox::Create(const control::CreateRequest& request,
                                                 std::vector<UniqueFd> fds) {
  const control::Container& config = request.container();
  RETURN_IF_ERROR(CheckNew(config));
  constexpr size_t kFixed = 2;  // gofer and monitor
  if (fds.size() < kFixed || request.placers() > fds.size() - kFixed)
    return absl::InvalidArgumentError("create: descriptors are missing");
  const auto container = std::make_shared<Container>();
  container->id = config.id();
  container->gofer_line = TRY_STATUS(Duplicate(fds[0].get()));
  Created created{TRY_STATUS(Duplicate(fds[0].get())), [this, weak = std::weak_ptr<Container>(container)] {
                    if (const ContainerRef concerned = weak.lock()) OnGoferGone(concerned);
                  }};
  std::vector<UniqueFd> first = TakeFirst(&fds, kFixed);
  std::vector<UniqueFd> placers = TakeFirst(&fds, request.placers());
  // The client tells of the loss under locks of a file system.
  const Ref<goferfs::Gofer> gofer = TRY_STATUS(
      ConnectGofer(std::move(first[0]), [lost = created.on_gofer_lost] { wait::Poller::Get().Post(lost); }));
  task::ContainerTable& table = task::ContainerTable::Get();
  if (!config.pid_namespace().empty()) table.SharePids(config.id(), config.pid_namespace());
  if (!placers.empty()) table.SetPlacer(config.id(), PlacerOf(std::move(placers)));
  const absl::Status made = Make(container, config, gofer, std::move(first[1]), std::move(fds));
  if (made.ok()) return created;
  table.Forget(config.id());
  ForgetDevPts(config.id());
  return made;
}

absl::Status Sandbox::Make(const ContainerRef& container, const control::Container& config,
                           const Ref<goferfs::Gofer>& gofer, UniqueFd monitor, std::vector<UniqueFd> fds) {
  RETURN_IF_ERROR(ApplySysctls(kernel_, config));
  container->fs = TRY_STATUS(BuildTree(kernel_, config, MounterOf(gofer)));
  Stdio stdio = TRY_STATUS(MakeStdio(kernel_, config.id(), config.process(), std::move(fds)));
  Errno error = Errno::kIo;
  task::Kernel::NewProcess process = TRY_STATUS(PrepareProcess(config.process(), *container->fs, &error));
  process.files = std::move(stdio.files);
  process.terminal = std::move(stdio.terminal);
  process.container_id = config.id();
  process.is_init = true;
  const std::shared_ptr<MonitorLink> link =
      MonitorLink::Make(std::move(monitor), std::move(stdio.on_window_change));
  process.on_exit = [this, link, container](int wait_status) {
    link->ReportExit(wait_status);
    OnExit(container, 0, wait_status);
  };
  {
    // Before it can end, by its monitor's death say.
    absl::MutexLock lock(&mu_);
    container->living = 1;
    containers_[config.id()] = container;
  }
  ErrnoOr<Ref<task::ThreadGroup>> group = kernel_.CreateProcess(std::move(process));
  absl::MutexLock lock(&mu_);
  if (!group.ok()) {
    containers_.erase(config.id());
    return ToStatus(group.error(), absl::StrCat("exec: \"", config.process().args(0), "\""));
  }
  container->init.group = *group;
  GiveTerminal(**group);
  link->Attach(*group);
  return absl::OkStatus();
}

void Sandbox::Kill(const std::string& id) {
  siginfo_t info = {};
  info.si_signo = SIGKILL;
  info.si_code = SI_USER;
  for (const Ref<task::ThreadGroup>& group : kernel_.Groups()) {
    if (group->container_id != id) continue;
    absl::MutexLock lock(&kernel_.tree_mu());
    task::Task::SendToGroupLocked(*group, info);
    task::Task::EndHeldLocked(*group, SIGKILL);
  }
}

// A container that has ended, or is forgotten, has no use for it.
void Sandbox::OnGoferGone(const ContainerRef& container) {
  {
    absl::MutexLock lock(&mu_);
    if (container->living == 0 || FindLocked(container->id) != container) return;
  }
  LOG(kError, "the gofer of %s is gone; the container ends", container->id);
  Kill(container->id);
}

absl::Status Sandbox::Destroy(const std::string& id) {
  ContainerRef container;
  {
    absl::MutexLock lock(&mu_);
    container = FindLocked(id);
    if (container == nullptr) return absl::OkStatus();
    if (container->first)
      return absl::InvalidArgumentError("the sandbox's first container ends with it alone");
  }
  Kill(id);
  {
    absl::MutexLock lock(&mu_);
    containers_.erase(id);
    container->fs.reset();
    if (container->gofer_line.ok()) shutdown(container->gofer_line.get(), SHUT_RDWR);
  }
  task::ContainerTable::Get().Forget(id);
  ForgetDevPts(id);
  return absl::OkStatus();
}

}  // namespace cloister::boot
