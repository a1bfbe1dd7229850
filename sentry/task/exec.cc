// execve(2) past its checks: a fresh host process becomes the task's.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <cstring>
#include <utility>

#include "base/host/random.h"
#include "base/log/log.h"
#include "sentry/ipc/ipc_namespace.h"
#include "sentry/task/container_table.h"
#include "sentry/task/current.h"
#include "sentry/task/exec_state.h"
#include "sentry/task/process_timers.h"
#include "sentry/task/ptrace.h"
#include "sentry/task/task.h"
#include "sentry/task/usage.h"
#include "sentry/vfs/operations.h"
#include "sentry/wait/parker.h"

namespace cloister::task {
namespace {

// Set-id bits of the binary, where the mount and no_new_privs let them count.
auth::ExecFile PrivilegesOf(const vfs::FileDescription& file, bool no_new_privs) {
  auth::ExecFile result;
  const Ref<vfs::Inode> inode = file.inode();
  const ErrnoOr<vfs::Ownership> owner = inode->GetOwnership();
  if (!owner.ok() || no_new_privs) return result;
  if (file.path() && (file.path().mount()->flags() & MS_NOSUID)) return result;
  result.uid = owner->uid;
  result.gid = owner->gid;
  result.set_uid = (owner->mode & S_ISUID) != 0;
  result.set_gid = (owner->mode & S_ISGID) != 0 && (owner->mode & S_IXGRP) != 0;
  return result;
}

std::string BaseName(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

}  // namespace

bool Task::AloneForExec() {
  wait::WakeScope scope;
  absl::MutexLock lock(&kernel().tree_mu());
  if (group_->tasks.size() == 1) return true;
  group_->exec_task = this;
  for (Task* task : group_->tasks) {
    if (task != this) Ptrace::ReleaseEndingLocked(*task);
    if (task == this || task->killed_) continue;
    task->killed_ = true;
    task->MarkWorkLocked();
  }
  return false;
}

// Whether the program that runs here may be followed by the next one in the same host process. It could have
// prepared that as it likes, so the next one must not be able to do more than it.
bool Task::MayExecInPlace(const auth::ExecResult& privileges) {
  return thread_ && !privileges.secure && mm_->users() == 1 && thread_->MayStartAfresh();
}

ErrnoOr<Ref<platform::GuestThread>> Task::ThreadForExec(const auth::ExecResult& privileges) {
  if (MayExecInPlace(privileges)) return thread_;
  Ref<platform::GuestThread> thread = TRY(kernel().platform().NewProcess(this));
  IncRef();  // OnGone's
  return thread;
}

void Task::Exec(ExecControl control) {
  const loader::Program& program = *control.program;
  const auth::ExecResult privileges =
      auth::ForExec(*cred_, PrivilegesOf(*program.file, no_new_privs), Ptrace::TracerIsUntrusted(*this));
  ErrnoOr<Ref<platform::GuestThread>> thread = ThreadForExec(privileges);
  if (!thread.ok()) {
    LOG(kWarning, "execve: no process for %s: errno %d", program.exec_path, static_cast<int>(thread.error()));
    // A container's first program has no call that could be told.
    thread_ ? EndCall(thread.error()) : Exit(SIGKILL, true);
    return;
  }
  const bool in_place = *thread == thread_;
  Ref<mm::MemoryManager> mm = MakeRef<mm::MemoryManager>(nullptr, kernel().platform().task_size());
  mm->SetOwner(pid());
  loader::AuxInfo aux;
  aux.uid = privileges.credentials.uid;
  aux.euid = privileges.credentials.euid;
  aux.gid = privileges.credentials.gid;
  aux.egid = privileges.credentials.egid;
  aux.secure = privileges.secure;
  aux.vdso = kernel().platform().vdso_start();
  const uint64_t words[] = {RandomWord(), RandomWord()};
  std::byte random[sizeof words];
  memcpy(random, words, sizeof words);
  ErrnoOr<loader::Image> image =
      loader::BuildImage(program, *mm, aux, kernel().platform(), random, Limit(RLIMIT_STACK).rlim_cur);
  if (!image.ok()) {
    if (!in_place) (*thread)->KillProcess();
    LOG(kWarning, "execve: no image of %s: errno %d", program.exec_path, static_cast<int>(image.error()));
    thread_ ? EndCall(image.error()) : Exit(SIGKILL, true);
    return;
  }
  exec_ = std::make_unique<ExecState>();
  exec_->thread = *std::move(thread);
  exec_->mm = std::move(mm);
  exec_->control = std::move(control);
  exec_->credentials = privileges.credentials;
  exec_->secure = privileges.secure;
  exec_->image = *std::move(image);
  if (!WakeLast()) CommitExec();
}

// The point of no return. Linux: begin_new_exec.
void Task::CommitExec() {
  const bool in_place = exec_->in_place = exec_->thread == thread_;
  SetCred(std::make_shared<const auth::Credentials>(std::move(exec_->credentials)));
  dumpable = !exec_->secure;
  if (exec_->secure) personality = 0;  // Linux: PER_CLEAR_ON_SETID
  SwitchImage(std::move(exec_->thread), std::move(exec_->mm));
  ExecControl control = std::move(exec_->control);
  {
    absl::MutexLock lock(&own_mu_);
    std::swap(exe_, control.exe_path);
    std::swap(exe_denial_, control.exe_denial);
    name_ = BaseName(control.program->exec_path).substr(0, 15);
  }
  if (in_place) {
    constexpr uint64_t kFirst = mm::MemoryManager::kMinAddress;
    const platform::HostOp clear[] = {
        platform::HostOp::Munmap(kFirst, kernel().platform().task_size() - kFirst),
        platform::HostOp::StartAfresh()};
    exec_->image.ops.insert(exec_->image.ops.begin(), std::begin(clear), std::end(clear));
  }
  ExecStep(nullptr);
}

void Task::SwitchImage(Ref<platform::GuestThread> thread, Ref<mm::MemoryManager> mm) {
  call_.reset();
  restart_call.reset();
  const bool in_place = thread == thread_;
  const bool ends_process = thread_ && mm_ && !vfork_shares_ && !in_place;
  const uint64_t cpu_ns = ends_process ? mm_->space().CpuTimeNs() : 0;
  LeaveMemory();
  if (in_place) thread->LeaveMemory();
  mm->SetSpace(Ref<platform::AddressSpace>(&thread->address_space()));
  Ref<platform::GuestThread> old_thread;
  {
    absl::MutexLock lock(&own_mu_);
    if (!in_place) old_thread = std::exchange(thread_, std::move(thread));
    quick_given_.store(false, std::memory_order_release);
    quick_ids_stale_.store(true, std::memory_order_relaxed);
    std::swap(mm_, mm);  // the old one goes outside the lock
  }
  if (!in_place) host_gone_.store(false, std::memory_order_release);
  if (old_thread) old_thread->Exit();
  NotifyVforkParent();

  const CurrentTask current(*this);  // some files want to know who closes them
  for (Ref<vfs::FileDescription>& file : UnshareFiles()->RemoveCloexec()) {
    static_cast<void>(file->Flush());
    file.reset();
  }
  alt_stack = signal::AltStack();
  parent_death_signal = 0;
  if (ProcessTimers* timers = group_->timers_if_any()) timers->DropPosixTimers();
  absl::MutexLock lock(&kernel().tree_mu());
  AddCpuTime(group_->own_usage, cpu_ns);
  if (group_->actions->ref_count() > 1) group_->actions = group_->actions->Copy();
  group_->actions->ResetHandlers();
  group_->exec_task = nullptr;
  group_->has_execed = true;
  group_->exit_signal = SIGCHLD;
  group_->leader_tracer = nullptr;
  exec_->old_tid = tid();
  if (tid() != pid()) kernel().RenameTaskLocked(*this, pid());
}

// Runs what is left of the image's operations, then fills the memory and starts.
void Task::ExecStep(const platform::Trap* trap) {
  if (trap != nullptr) {
    if (trap->result < 0 && trap->result >= -4095) {
      LOG(kWarning, "execve: the host refused operation %d of the image: %d", exec_->ops_done + trap->ops_run,
          trap->result);
      Exit(SIGKILL, true);
      return;
    }
    exec_->ops_done += trap->ops_run;
  }
  const std::vector<platform::HostOp>& ops = exec_->image.ops;
  if (exec_->ops_done < ops.size()) {
    RunOps(AfterOps::kExecStep, std::span(ops).subspan(exec_->ops_done));
    return;
  }
  const std::unique_ptr<ExecState> exec = std::move(exec_);
  if (!exec->in_place) ContainerTable::Get().Place(group_->container_id, thread_->host_tid());
  for (const auto& [addr, bytes] : exec->image.writes) {
    if (!usermem::CopyOutBytes(space(), addr, bytes).ok()) {
      Exit(SIGKILL, true);
      return;
    }
  }
  thread_->regs() = exec->image.regs;
  thread_->regs().orig_rax = ~uint64_t{0};
  if (const Tracer tracer = kernel().tracer()) tracer(*this, args_, 0);
  if (traced()) {
    thread_->regs().orig_rax = args_.number();
    Ptrace::AfterExec(*this, exec->old_tid);
    return;
  }
  ReturnToGuest();
}

ErrnoOr<Ref<ThreadGroup>> Kernel::CreateProcess(NewProcess process) {
  vfs::Caller caller;
  const FsContext::View view = process.fs->Get();
  caller.cred = process.cred;
  caller.mounts = view.mounts;
  caller.root = view.root;
  caller.cwd = view.cwd;
  caller.umask = view.umask;
  process.exec.stack_limit = 8 << 20;
  for (const auto& [resource, limit] : process.limits) {
    if (resource == RLIMIT_STACK) process.exec.stack_limit = limit.rlim_cur;
  }
  const vfs::Path exe_path = process.exec.file->path();
  loader::Program program = TRY(loader::FindProgram(caller, std::move(process.exec)));

  absl::MutexLock lock(&tree_mu_);
  const pid_t pid = TRY(AllocatePidLocked());
  Ref<ThreadGroup> group = MakeRef<ThreadGroup>(*this, pid, MakeRef<signal::SignalActions>());
  for (const auto& [resource, limit] : process.limits) group->SetLimit(resource, limit);
  Ref<Session> session = MakeRef<Session>(pid);
  session->terminal = std::move(process.terminal);
  group->process_group = MakeRef<ProcessGroup>(pid, std::move(session));
  HoldIdLocked(pid);
  HoldIdLocked(pid);
  group->container_id = std::move(process.container_id);
  group->is_container_init = process.is_init;
  group->is_subreaper = process.is_init;
  group->oom_score_adj = process.oom_score_adj;
  group->on_exit = std::move(process.on_exit);
  if (process.is_init) init_of_[group->container_id] = group.get();
  Ref<Task> task = MakeRef<Task>(group, pid);
  task->files_ = std::move(process.files);
  task->fs_ = std::move(process.fs);
  task->ipc_ = ipc_;
  task->cred_ = std::move(process.cred);
  task->no_new_privs = process.no_new_privs;
  task->filters.Set(std::move(process.filter));
  task->exe_ = program.file->path();
  task->name_ = BaseName(program.exec_path).substr(0, 15);
  task->held_program_ = std::make_shared<loader::Program>(std::move(program));
  group->tasks.push_back(task.get());
  AddTaskLocked(*task);
  AddGroupLocked(*group);
  task->IncRef();  // its life's
  return group;
}

ErrnoOrVoid Kernel::Release(ThreadGroup& group) {
  wait::WakeScope scope;
  Ref<Task> task;
  ExecControl control;
  {
    absl::MutexLock lock(&tree_mu_);  // against EndHeldLocked
    if (group.tasks.empty()) return Errno::kSrch;
    task = Ref<Task>(group.tasks.front());
    control.program = std::move(task->held_program_);
  }
  if (control.program == nullptr) return Errno::kBusy;
  control.exe_path = control.program->file->path();
  // A program that is being written as the sandbox starts is run all the same.
  if (auto denial = vfs::WriteDenial::Of(control.program->file->inode()); denial.ok()) {
    control.exe_denial = *std::move(denial);
  }
  if (task->Limit(RLIMIT_CPU).rlim_cur != RLIM_INFINITY) group.timers().WatchCpuLimit();
  task->Exec(std::move(control));
  return {};
}

}  // namespace cloister::task
