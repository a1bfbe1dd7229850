// The end of tasks and processes. Linux: kernel/exit.c.

#include <linux/futex.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log/log.h"
#include "sentry/ipc/futex_manager.h"
#include "sentry/ipc/ipc_namespace.h"
#include "sentry/ipc/pi_futexes.h"
#include "sentry/ipc/shared_segments.h"
#include "sentry/task/current.h"
#include "sentry/task/exec_state.h"
#include "sentry/task/process_timers.h"
#include "sentry/task/ptrace.h"
#include "sentry/task/task.h"
#include "sentry/task/usage.h"
#include "sentry/wait/parker.h"

namespace cloister::task {
namespace {

siginfo_t ChildInfo(const ThreadGroup& group, int code, int status, uid_t uid) {
  siginfo_t info = {};
  info.si_signo = SIGCHLD;
  info.si_code = code;
  info.si_pid = group.pid();
  info.si_uid = uid;
  info.si_status = status;
  return info;
}

// Who adopts the children of `group`: the nearest ancestor that is a subreaper, or init.
ThreadGroup* NewParentFor(ThreadGroup& group, ThreadGroup* init) {
  for (ThreadGroup* up = group.parent; up != nullptr; up = up->parent) {
    if (up->is_subreaper && up->state == ThreadGroup::State::kRunning) return up;
  }
  return init != &group ? init : nullptr;
}

siginfo_t KernelSignal(int signo) {
  siginfo_t info = {};
  info.si_signo = signo;
  info.si_code = SI_KERNEL;
  return info;
}

// The process groups that are no orphans for this process' sake, perhaps: it is a member with a parent
// outside, or the parent of a member.
std::vector<pid_t> GroupsTiedBy(const ThreadGroup& group) {
  std::vector<pid_t> tied;
  const auto tie = [&](const ThreadGroup& parent, const ThreadGroup& child) {
    const bool outside = parent.process_group->id() != child.process_group->id();
    if (outside && parent.process_group->session() == child.process_group->session()) {
      tied.push_back(child.process_group->id());
    }
  };
  if (group.parent != nullptr) tie(*group.parent, group);
  for (const Ref<ThreadGroup>& child : group.children) tie(group, *child);
  return tied;
}

// A stopped process whose group became an orphan by an exit is hung up. Linux: kill_orphaned_pgrp.
void HangUpOrphansLocked(ThreadGroup& exited, const std::vector<pid_t>& tied)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
  if (tied.empty()) return;
  for (const Ref<ThreadGroup>& other : exited.kernel().GroupsLocked()) {
    if (other.get() == &exited || other->stop != ThreadGroup::Stop::kStopped) continue;
    const bool was_tied = std::ranges::find(tied, other->process_group->id()) != tied.end();
    if (!was_tied || !Task::OrphanedGroupLocked(*other)) continue;
    Task::SendToGroupLocked(*other, KernelSignal(SIGHUP));
    Task::SendToGroupLocked(*other, KernelSignal(SIGCONT));
  }
}

}  // namespace

void Task::Exit(int wait_status, bool group) {
  if (group) {
    absl::MutexLock lock(&kernel().tree_mu());
    BeginGroupExitLocked(*group_, wait_status, this);
  }
  exit_status_ = wait_status;
  End();
}

void Task::End() {
  if (traced() && Ptrace::StopAtExit(*this)) return;
  Leave();
}

void Task::Leave() {
  if (!WakeLast()) Die();
}

void Task::BeginGroupExitLocked(ThreadGroup& group, int wait_status, Task* from) {
  if (group.state != ThreadGroup::State::kRunning) return;
  group.state = ThreadGroup::State::kExiting;
  group.wait_status = wait_status;
  group.stop = ThreadGroup::Stop::kNone;
  const bool others = from == nullptr || group.tasks.size() > 1;
  const bool watched = Ptrace::SeesExitLocked(group);
  for (Task* task : group.tasks) {
    task->killed_ = true;
    task->stopped_.store(false, std::memory_order_release);
    task->work_pending_.store(true, std::memory_order_release);
    if (task == from) continue;
    Ptrace::ReleaseEndingLocked(*task);
    if (watched) {
      task->Kick();
    } else if (others) {
      absl::MutexLock lock(&task->own_mu_);
      if (task->thread_ && task->owner_.load(std::memory_order_acquire) == Owner::kGuest) {
        task->thread_->KillProcess();
      }
    }
    task->Interrupt();
  }
}

// Where the waiters are the host's, the thread itself wakes them, before it leaves.
bool Task::WakeLast() {
  if (!thread_ || !mm_ || host_gone_.load(std::memory_order_acquire) || !HasNativeFutexes()) return false;
  for (const uint64_t word : ReleaseWords()) {
    last_wakes_.push_back({platform::HostOp::Kind::kFutex, {word, FUTEX_WAKE, 1}});
  }
  if (last_wakes_.empty()) return false;
  RunOps(AfterOps::kLastWakes, last_wakes_);
  return true;
}

// Those that failed are left out.
void Task::OnLastWakes(const platform::Trap& trap) {
  const size_t done = std::clamp<size_t>(trap.ops_run, 1, last_wakes_.size());
  last_wakes_.erase(last_wakes_.begin(), last_wakes_.begin() + static_cast<std::ptrdiff_t>(done));
  if (!last_wakes_.empty()) {
    RunOps(AfterOps::kLastWakes, last_wakes_);
  } else if (exec_) {
    CommitExec();
  } else {
    Die();
  }
}

// What is done to the memory while it is still there.
void Task::LeaveMemory() {
  if (!mm_) return;
  if (thread_ && !host_gone_.load(std::memory_order_acquire)) {
    for (const uint64_t word : ReleaseWords()) ipc::FutexManager::Get().Wake(*mm_, word, 1);
  }
  robust_list = clear_child_tid = 0;
  ipc::PiFutexes::Get().ExitOwner(tid());
  mm_->DropUser();
}

void Task::NotifyVforkParent() {
  if (!std::exchange(vfork_shares_, false)) return;
  vfork_done_.store(true, std::memory_order_release);
  wait::WakeScope::NotifyLater(Ref<RefCounted>(this), vfork_queue_, Poll::kIn);
}

// Owned, or never run. Afterwards only the reaping of the host thread is left.
void Task::Die() {
  owner_.store(Owner::kDead, std::memory_order_release);
  Disarm();
  Errands::AbortAll(*this);
  call_.reset();
  restart_call.reset();
  if (exec_ && exec_->thread && exec_->thread != thread_) exec_->thread->KillProcess();
  exec_.reset();
  ReleaseMemoryOp();
  LeaveMemory();
  const uint64_t cpu_ns = thread_ && mm_ && !vfork_shares_ ? mm_->space().CpuTimeNs() : 0;
  Ref<vfs::FdTable> files;
  Ref<FsContext> fs;
  Ref<mm::MemoryManager> mm;
  Ref<platform::GuestThread> thread;
  vfs::Path exe;
  {
    absl::MutexLock lock(&own_mu_);
    files = std::move(files_);
    fs = std::move(fs_);
    mm = std::move(mm_);
    thread = std::move(thread_);
    std::swap(exe, exe_);
  }
  exe_denial_.reset();
  held_program_.reset();
  const auto keep = std::exchange(plan_.keep, {});
  NotifyVforkParent();
  if (thread) thread->Exit();
  mm.reset();  // a parent that waits for this process must find its segments detached
  LeaveSemUndo();
  if (ipc_) ipc_->segments().OnExit(this);
  const CurrentTask current(*this);  // some files want to know who closes them
  if (files && files->ref_count() == 1) {
    for (Ref<vfs::FileDescription>& file : files->RemoveRange(0, ~uint32_t{0})) {
      static_cast<void>(file->Flush());
      file.reset();
    }
  }
  files.reset();
  fs.reset();
  std::function<void(int)> on_exit;
  int status;
  bool ended;
  {
    absl::MutexLock lock(&kernel().tree_mu());
    filters.Clear();
    LeaveGroupLocked(exit_status_, cpu_ns);
    status = group_->wait_status;
    ended = group_->tasks.empty();
    if (ended) on_exit = std::move(group_->on_exit);
  }
  // Not under the tree's lock: waits for a timer that is just sending.
  if (ProcessTimers* timers = ended ? group_->timers_if_any() : nullptr) timers->StopAll();
  if (on_exit) on_exit(status);
  DecRef();  // its life's
}

void Task::LeaveGroupLocked(int wait_status, uint64_t cpu_ns) {
  ThreadGroup& group = *group_;
  std::erase(group.tasks, this);
  kernel().RemoveTaskLocked(*this);
  Ptrace::EndLocked(*this, group.state == ThreadGroup::State::kRunning ? wait_status : group.wait_status);
  wait::WakeScope::NotifyLater(Ref<RefCounted>(&group), group.exit_queue, Poll::kIn);
  if (!group.tasks.empty()) {
    if (group.stop == ThreadGroup::Stop::kStopping) {
      for (Task* task : group.tasks) task->MarkWorkLocked();
    }
    return;
  }
  AddCpuTime(group.own_usage, cpu_ns);
  if (group.state == ThreadGroup::State::kRunning) group.wait_status = wait_status;
  const std::vector<pid_t> tied = GroupsTiedBy(group);  // before its children have another parent
  ReparentChildrenLocked(group);
  LeaveSessionLocked(group);
  group.state = ThreadGroup::State::kZombie;
  HangUpOrphansLocked(group, tied);
  wait::WakeScope::NotifyLater(Ref<RefCounted>(&group), group.exit_queue, Poll::kIn | Poll::kHup);
  if (!Ptrace::HideZombieLocked(group)) EndOfProcessLocked(group);
}

void Task::ReparentChildrenLocked(ThreadGroup& group) {
  Kernel& kernel = group.kernel();
  ThreadGroup* const adopter = NewParentFor(group, kernel.InitOfLocked(group.container_id));
  for (Ref<ThreadGroup>& child : std::exchange(group.children, {})) {
    child->parent = adopter;
    for (Task* task : child->tasks) task->GiveQuickIdsLocked();
    for (Task* task : child->tasks) {
      if (task->parent_death_signal == 0) continue;
      siginfo_t info = {};
      info.si_signo = task->parent_death_signal;
      info.si_code = SI_USER;
      info.si_pid = group.pid();
      task->SendToThreadLocked(info);
    }
    if (adopter != nullptr) {
      child->exit_signal = SIGCHLD;
      adopter->children.push_back(child);
    }
    if (child->state == ThreadGroup::State::kZombie) EndOfProcessLocked(*child);
  }
  if (!group.is_container_init) return;
  // Linux: zap_pid_ns_processes. A container ends with its init.
  siginfo_t kill = {};
  kill.si_signo = SIGKILL;
  kill.si_code = SI_USER;
  for (const Ref<ThreadGroup>& other : kernel.GroupsLocked()) {
    if (other.get() != &group && other->container_id == group.container_id) SendToGroupLocked(*other, kill);
  }
  kernel.ForgetInitLocked(group);
}

// Signals for the terminal's other users.
void Task::LeaveSessionLocked(ThreadGroup& group) {
  Kernel& kernel = group.kernel();
  const siginfo_t hang_up = KernelSignal(SIGHUP), go_on = KernelSignal(SIGCONT);
  Session& session = *group.process_group->session();
  if (session.id() == group.pid() && session.terminal) {
    const pid_t foreground = std::exchange(session.terminal, nullptr)->Disassociate();
    for (const Ref<ThreadGroup>& other : kernel.GroupsLocked()) {
      if (foreground == 0 || other->process_group->id() != foreground) continue;
      SendToGroupLocked(*other, hang_up);
      SendToGroupLocked(*other, go_on);
    }
  }
}

bool Task::OrphanedGroupLocked(ThreadGroup& group) {
  Kernel& kernel = group.kernel();
  for (const Ref<ThreadGroup>& member : kernel.GroupsLocked()) {
    if (member->process_group->id() != group.process_group->id()) continue;
    if (member->state == ThreadGroup::State::kZombie || member->parent == nullptr) continue;
    const ProcessGroup& parents = *member->parent->process_group;
    if (parents.id() != group.process_group->id() && parents.session() == group.process_group->session())
      return false;
  }
  return true;
}

void Task::NotifyParentLocked(ThreadGroup& group, int code, int status) {
  ThreadGroup* const parent = group.parent;
  if (parent == nullptr) return;
  wait::WakeScope::NotifyLater(Ref<RefCounted>(parent), parent->child_queue, Poll::kIn);
  const signal::Action action = parent->actions->Get(SIGCHLD);
  if (action.is_ignore() || (action.flags & SA_NOCLDSTOP)) return;
  SendToGroupLocked(*parent, ChildInfo(group, code, status, 0));
}

// A zombie tells its parent, or vanishes where nobody wants to know. Linux: do_notify_parent.
void Task::EndOfProcessLocked(ThreadGroup& group) {
  if (group.leader_tracer != nullptr) return;  // its tracer comes first
  ThreadGroup* const parent = group.parent;
  if (parent == nullptr || parent->state != ThreadGroup::State::kRunning) {
    if (parent == nullptr) ReapLocked(group);
    return;
  }
  wait::WakeScope::NotifyLater(Ref<RefCounted>(parent), parent->child_queue, Poll::kIn);
  bool auto_reap = false;
  if (group.exit_signal == SIGCHLD && !group.keep_zombie) {
    const signal::Action action = parent->actions->Get(SIGCHLD);
    auto_reap = action.is_ignore() || (action.flags & SA_NOCLDWAIT);
  }
  if (signal::IsValid(group.exit_signal)) {  // clone(2) takes any number up to 255
    const int status = group.wait_status;
    siginfo_t info = WIFEXITED(status) ? ChildInfo(group, CLD_EXITED, WEXITSTATUS(status), group.uid)
                                       : ChildInfo(group, CLD_KILLED, WTERMSIG(status), group.uid);
    info.si_signo = group.exit_signal;
    if (!auto_reap || !parent->actions->Get(group.exit_signal).is_ignore()) SendToGroupLocked(*parent, info);
  }
  if (auto_reap) ReapLocked(group);
}

void Task::EndHeldLocked(ThreadGroup& group, int signo) {
  if (group.tasks.empty() || group.tasks.front()->held_program_ == nullptr) return;
  const Ref<Task> task(group.tasks.front());
  const signal::Default what = signal::DefaultOf(signo);
  if (what != signal::Default::kTerminate && what != signal::Default::kCore) return;
  task->held_program_.reset();
  BeginGroupExitLocked(group, signo, task.get());
  wait::Poller::Get().Post([task] { task->Die(); });
}

// The process is gone from every table.
void Task::ReapLocked(ThreadGroup& group) {
  if (group.state == ThreadGroup::State::kReaped) return;
  group.state = ThreadGroup::State::kReaped;
  Kernel& kernel = group.kernel();
  const Ref<ThreadGroup> hold(&group);
  if (group.parent != nullptr) std::erase(group.parent->children, &group);
  kernel.DropIdLocked(group.process_group->id());
  kernel.DropIdLocked(group.process_group->session()->id());
  kernel.RemoveGroupLocked(group);
}

}  // namespace cloister::task
