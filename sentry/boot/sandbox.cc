#include "sentry/boot/sandbox.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/abi/syscall_signatures.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "sentry/boot/program.h"
#include "sentry/boot/terminal.h"
#include "sentry/fs/gofer/gofer_fs.h"
#include "sentry/task/container_table.h"
#include "sentry/task/task.h"
#include "sentry/task/usage.h"
#include "sentry/wait/parker.h"

namespace cloister::boot {
namespace {

// The sentry's last act: its pid namespace takes every stub along.
[[noreturn]] void EndSandbox() {
  DrainTerminals();
  LOG(kInfo, "the last process has ended");
  _exit(0);
}

siginfo_t OutsideSignal(int signo) {
  siginfo_t info = {};
  info.si_signo = signo;
  info.si_code = SI_USER;
  return info;
}

}  // namespace

Sandbox::ContainerRef Sandbox::FindLocked(const std::string& id) {
  const auto it = containers_.find(id);
  return it != containers_.end() ? it->second : nullptr;
}

absl::Status Sandbox::Start(const std::string& id) {
  Ref<task::ThreadGroup> init;
  {
    absl::MutexLock lock(&mu_);
    const ContainerRef container = FindLocked(id);
    if (container == nullptr) return absl::NotFoundError("container does not exist");
    if (container->init.ended)
      return absl::FailedPreconditionError("cannot start a container that has stopped");
    if (std::exchange(container->started, true)) {
      return absl::FailedPreconditionError("cannot start an already running container");
    }
    init = container->init.group;
  }
  const ErrnoOrVoid released = kernel_.Release(*init);
  if (!released.ok()) return ToStatus(released.error(), "start of the container's process");
  return absl::OkStatus();
}

absl::Status Sandbox::Signal(const control::SignalRequest& request) {
  std::vector<Ref<task::ThreadGroup>> targets;
  bool held = false;
  {
    absl::MutexLock lock(&mu_);
    const ContainerRef container = FindLocked(request.container());
    if (container == nullptr) return absl::NotFoundError("container does not exist");
    if (request.all()) {
      for (const Ref<task::ThreadGroup>& group : kernel_.Groups()) {
        if (group->container_id == request.container()) targets.push_back(group);
      }
    } else if (request.pid() != 0) {
      const auto it = container->execs.find(request.pid());
      if (it == container->execs.end() || it->second.ended) return absl::NotFoundError("no such process");
      targets.push_back(it->second.group);
    } else {
      if (container->init.ended) return absl::FailedPreconditionError("container not running");
      targets.push_back(container->init.group);
      held = !container->started;
    }
  }
  if (request.signal() == 0) return absl::OkStatus();
  if (!signal::IsValid(request.signal())) return absl::InvalidArgumentError("invalid signal");
  for (const Ref<task::ThreadGroup>& group : targets) {
    absl::MutexLock lock(&kernel_.tree_mu());
    task::Task::SendToGroupLocked(*group, OutsideSignal(request.signal()));
    if (held) task::Task::EndHeldLocked(*group, request.signal());
  }
  return absl::OkStatus();
}

void Sandbox::Wait(const control::WaitRequest& request, std::function<void(absl::StatusOr<int>)> done) {
  absl::StatusOr<int> result = absl::NotFoundError("container does not exist");
  {
    absl::MutexLock lock(&mu_);
    if (const ContainerRef container = FindLocked(request.container()); container != nullptr) {
      Process* process = &container->init;
      if (request.pid() != 0) {
        const auto it = container->execs.find(request.pid());
        process = it != container->execs.end() ? &it->second : nullptr;
      }
      if (process != nullptr && !process->ended) {
        process->waiters.push_back(std::move(done));
        return;
      }
      if (process != nullptr) {
        result = process->wait_status;
      } else {
        result = absl::NotFoundError("no such process");
      }
    }
  }
  done(result);
}

absl::StatusOr<pid_t> Sandbox::Exec(const control::ExecRequest& request, std::vector<UniqueFd> fds,
                                    Errno* error) {
  if (fds.empty()) return absl::InvalidArgumentError("exec: no monitor");
  Ref<task::FsContext> fs;
  ContainerRef container;
  {
    absl::MutexLock lock(&mu_);
    container = FindLocked(request.container());
    if (container == nullptr) return absl::NotFoundError("container does not exist");
    if (container->init.ended) return absl::FailedPreconditionError("cannot exec in a stopped container");
    fs = container->fs;
  }
  // Who asks may have changed files from outside just before, as "docker cp" does.
  goferfs::GoferFs::Distrust();
  fs->Get().root.dentry()->ForgetChildren();
  UniqueFd monitor = std::move(fds.front());
  fds.erase(fds.begin());
  Stdio stdio = TRY_STATUS(MakeStdio(kernel_, request.container(), request.process(), std::move(fds)));
  task::Kernel::NewProcess process = TRY_STATUS(PrepareProcess(request.process(), *fs, error));
  process.files = std::move(stdio.files);
  process.terminal = std::move(stdio.terminal);
  process.container_id = request.container();
  const std::shared_ptr<MonitorLink> link =
      MonitorLink::Make(std::move(monitor), std::move(stdio.on_window_change));
  const std::shared_ptr<pid_t> pid = std::make_shared<pid_t>(0);
  process.on_exit = [this, link, pid, container](int wait_status) {
    link->ReportExit(wait_status);
    OnExit(container, *pid, wait_status);
  };
  ErrnoOr<Ref<task::ThreadGroup>> group = kernel_.CreateProcess(std::move(process));
  if (!group.ok()) {
    *error = group.error();
    return ToStatus(group.error(), absl::StrCat("exec: \"", request.process().args(0), "\""));
  }
  *pid = (*group)->pid();
  {
    absl::MutexLock lock(&mu_);
    container->execs[*pid].group = *group;
    ++container->living;
  }
  GiveTerminal(**group);
  link->Attach(*group);
  const ErrnoOrVoid released = kernel_.Release(**group);
  if (!released.ok()) return ToStatus(released.error(), "start of the process");
  return *pid;
}

void Sandbox::OnExit(const ContainerRef& container, pid_t exec_pid, int wait_status) {
  std::vector<std::function<void(absl::StatusOr<int>)>> waiters;
  bool last;
  {
    absl::MutexLock lock(&mu_);
    Process& process = exec_pid == 0 ? container->init : container->execs[exec_pid];
    process.ended = true;
    process.wait_status = wait_status;
    process.group.reset();
    waiters.swap(process.waiters);
    last = --container->living == 0;
    // Its gofer has nothing left to serve.
    if (last && container->gofer_line.ok()) shutdown(container->gofer_line.get(), SHUT_RDWR);
  }
  for (const auto& waiter : waiters) waiter(wait_status);
  if (last && container->first) EndSandbox();
}

void Sandbox::Ps(const std::string& id, control::PsReply* reply) {
  for (const Ref<task::ThreadGroup>& group : kernel_.Groups()) {
    if (!id.empty() && group->container_id != id) continue;
    const uint64_t cpu_ns = task::ProcessCpuNs(*group);
    absl::MutexLock lock(&kernel_.tree_mu());
    if (group->tasks.empty()) continue;
    control::ProcessInfo& info = *reply->add_processes();
    info.set_pid(group->pid());
    info.set_ppid(group->parent != nullptr ? group->parent->pid() : 0);
    info.set_uid(group->uid);
    info.set_command(group->tasks.front()->name());
    info.set_start_time_ns(static_cast<uint64_t>(kernel_.boot_realtime_ns() + group->start_time_ns -
                                                 kernel_.boot_monotonic_ns()));
    info.set_cpu_ns(cpu_ns);
    if (group->process_group->session()->terminal)
      info.set_tty(group->process_group->session()->terminal->name());
  }
}

absl::Status Sandbox::ChangePause(const std::string& id, bool pause) {
  task::ContainerTable& table = task::ContainerTable::Get();
  absl::MutexLock lock(&mu_);
  const ContainerRef container = FindLocked(id);
  if (container == nullptr) return absl::NotFoundError("container does not exist");
  if (std::exchange(container->paused, pause) == pause) {
    return absl::FailedPreconditionError(pause ? "container already paused" : "container not paused");
  }
  table.SetFrozen(id, pause);
  table.AnyFrozen() ? kernel_.Freeze() : kernel_.Thaw();
  return absl::OkStatus();
}

absl::Status Sandbox::Pause(const std::string& id) { return ChangePause(id, true); }
absl::Status Sandbox::Resume(const std::string& id) { return ChangePause(id, false); }

control::StateReply::State Sandbox::State(const std::string& id) {
  absl::MutexLock lock(&mu_);
  const ContainerRef container = FindLocked(id);
  if (container == nullptr || container->init.ended) return control::StateReply::STOPPED;
  if (container->paused) return control::StateReply::PAUSED;
  return container->started ? control::StateReply::RUNNING : control::StateReply::CREATED;
}

std::string Sandbox::DescribeTasks() {
  std::string text;
  for (const Ref<task::ThreadGroup>& group : kernel_.Groups()) {
    absl::MutexLock lock(&kernel_.tree_mu());
    if (group->tasks.empty()) absl::StrAppend(&text, group->pid(), " zombie\n");
    for (task::Task* task : group->tasks) {
      const int number = task->parked_syscall();
      const abi::Signature* const signature =
          number >= 0 ? abi::FindSyscallSignature(static_cast<uint64_t>(number)) : nullptr;
      absl::StrAppend(&text, group->pid(), "/", task->tid(), " host ", task->host_tid(), " ",
                      std::string(1, task->StateLetter()), " ", task->name(), " ",
                      number < 0             ? "-"
                      : signature != nullptr ? signature->name
                                             : "?",
                      "\n");
    }
  }
  return text;
}

std::string Sandbox::DescribeGofer() const {
  return absl::StrCat("calls ", gofer_->client->calls(), "\nby-doorbell ", gofer_->client->rings(), "\n");
}

}  // namespace cloister::boot
