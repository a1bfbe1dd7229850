// clone(2), fork(2), vfork(2): making a task.

#include <linux/sched.h>

#include <utility>

#include "sentry/ipc/ipc_namespace.h"
#include "sentry/ipc/sem_undo.h"
#include "sentry/task/pid_file.h"
#include "sentry/task/process_timers.h"
#include "sentry/task/ptrace.h"
#include "sentry/task/task.h"
#include "sentry/wait/parker.h"

namespace cloister::task {
namespace {

using platform::CloneKind;
using usermem::UserPtr;

// The parent of a vfork(2) waits here for its child to leave the memory.
struct VforkWait {
  Ref<Task> child;
  Outcome Step(Task&) {
    if (child->vfork_done()) return Answer(child->tid());
    Block block;
    block.on.push_back({Ref<RefCounted>(child), &child->vfork_queue(), Poll::kIn});
    block.killable_only = true;
    return block;
  }
};

}  // namespace

Ref<Task> Task::MakeChildLocked(const CloneControl& control, pid_t tid) {
  const bool thread = (control.flags & CLONE_THREAD) != 0;
  Ref<ThreadGroup> group = group_;
  if (!thread) {
    group = MakeRef<ThreadGroup>(kernel(), tid,
                                 control.flags & CLONE_SIGHAND ? group_->actions : group_->actions->Copy());
    for (int i = 0; i < RLIM_NLIMITS; ++i) group->SetLimit(i, Limit(i));
    group->process_group = group_->process_group;
    group->exit_signal = control.exit_signal;
    group->container_id = group_->container_id;
    group->oom_score_adj = group_->oom_score_adj.load();
    group->coredump_filter = group_->coredump_filter.load();
    ThreadGroup* parent = control.flags & CLONE_PARENT ? group_->parent : group_.get();
    group->maker_tid = control.flags & CLONE_PARENT ? group_->maker_tid : this->tid();
    group->was_traced = group_->was_traced.load();
    group->parent = parent;
    if (parent != nullptr) parent->children.push_back(group);
    kernel().HoldIdLocked(group->process_group->id());
    kernel().HoldIdLocked(group->process_group->session()->id());
    kernel().AddGroupLocked(*group);
  }
  Ref<Task> child = MakeRef<Task>(group, tid);
  child->filters.Set(filters.ref());
  child->no_new_privs = no_new_privs.load();
  group->tasks.push_back(child.get());
  kernel().AddTaskLocked(*child);
  clone_event_ = Ptrace::CloneEventLocked(*this, control.flags, control.exit_signal);
  if (clone_event_ != 0 || (control.flags & CLONE_PTRACE)) Ptrace::LinkChildLocked(*this, *child);
  return child;
}

void Task::ShareParts(const CloneControl& control, Task& child, std::vector<platform::HostOp>* first_ops) {
  const bool same_memory = (control.flags & CLONE_VM) != 0;
  if (same_memory) {
    mm_->AddUser();
    child.mm_ = mm_;
  } else {
    child.mm_ = mm_->Fork(Ref<platform::AddressSpace>(&space()), first_ops);
    child.mm_->SetOwner(child.pid());
  }
  child.files_ = control.flags & CLONE_FILES ? files_ : files_->Copy();
  child.fs_ = control.flags & CLONE_FS ? fs_ : fs_->Copy();
  child.ipc_ = ipc_;
  if (control.flags & CLONE_SYSVSEM) {
    sem_undo().AddUser();
    child.sem_undo_ = sem_undo_;
  }
  child.cred_ = cred_;
  child.exe_ = exe_;
  child.exe_denial_ = exe_denial_;
  child.personality = personality.load();
  child.name_ = name();
  child.mask_ = saved_mask_.value_or(mask_);
  if (!same_memory || (control.flags & CLONE_VFORK)) child.alt_stack = alt_stack;
  child.nice = nice.load();
  child.io_priority = io_priority;
  child.timer_slack_ns = timer_slack_ns;
  child.dumpable = dumpable;
  child.vfork_shares_ = same_memory && !(control.flags & CLONE_THREAD);
  if (control.flags & CLONE_CHILD_CLEARTID) child.clear_child_tid = control.child_tid;
}

// CLONE_PIDFD: its number is told, and known to be free, before there is a child.
ErrnoOr<int> Task::ReservePidFd(uint64_t told_at) {
  const int fd = TRY(InstallFile(MakeRef<PidFile>(0, cred_, group_), true));
  const ErrnoOrVoid told = usermem::CopyOut(space(), UserPtr<int>(told_at), fd);
  if (told.ok()) return fd;
  static_cast<void>(files_->Remove(fd));
  return told.error();
}

void Task::PutPidFd(int fd, Task& child) {
  if (child.files_ != files_) static_cast<void>(child.files_->Remove(fd));
  static_cast<void>(files_->InstallAt(fd, MakeRef<PidFile>(0, cred_, Ref<ThreadGroup>(&child.group())), true,
                                      ~uint64_t{0}));
}

void Task::Clone(const CloneControl& control) {
  std::vector<platform::HostOp> first_ops;
  Ref<Task> child;
  ErrnoOr<int> pidfd = -1;
  if (control.flags & CLONE_PIDFD) pidfd = ReservePidFd(control.pidfd);
  if (!pidfd.ok()) {
    EndCall(pidfd.error());
    return;
  }
  {
    absl::MutexLock lock(&kernel().tree_mu());
    if (killed_ || !((pending_.set() | group_->pending.set()).Without(mask_)).empty()) {
      child = nullptr;  // Linux: a signal that arrived first is taken first
    } else {
      const ErrnoOr<pid_t> tid = kernel().AllocatePidLocked();
      if (tid.ok()) child = MakeChildLocked(control, *tid);
    }
  }
  if (!child) {
    if (*pidfd >= 0) static_cast<void>(files_->Remove(*pidfd));
    EndCall(interrupted() ? Answer(Restart::kNoIntr) : Answer(Errno::kAgain));
    return;
  }
  child->IncRef();  // its life's
  if (!(control.flags & CLONE_THREAD) && Limit(RLIMIT_CPU).rlim_cur != RLIM_INFINITY) {
    child->group().timers().WatchCpuLimit();
  }
  ShareParts(control, *child, &first_ops);
  if (*pidfd >= 0) PutPidFd(*pidfd, *child);
  kernel().forks.fetch_add(1, std::memory_order_relaxed);

  const bool same_memory = (control.flags & CLONE_VM) != 0;
  if (control.flags & CLONE_PARENT_SETTID) {
    static_cast<void>(usermem::CopyOut(space(), UserPtr<pid_t>(control.parent_tid), child->tid()));
  }
  if ((control.flags & CLONE_CHILD_SETTID) && same_memory) {
    static_cast<void>(usermem::CopyOut(space(), UserPtr<pid_t>(control.child_tid), child->tid()));
  }
  platform::CloneRequest request;
  request.kind = control.flags & CLONE_THREAD ? CloneKind::kThread
                 : same_memory                ? CloneKind::kSharedProcess
                                              : CloneKind::kFork;
  request.child_regs = thread_->regs();
  request.child_regs.rax = 0;
  request.child_regs.orig_rax = ~uint64_t{0};
  if (control.stack != 0) request.child_regs.rsp = control.stack;
  request.set_tls = (control.flags & CLONE_SETTLS) != 0;
  request.tls = control.tls;
  request.child_handler = child.get();
  request.stop_child =
      !same_memory && ((control.flags & CLONE_CHILD_SETTID) || !first_ops.empty() || child->traced());
  if (same_memory && child->traced()) {
    // It stops before its first instruction: a fault at address 0, where no guest has memory.
    child->newborn_regs_ = request.child_regs;
    request.child_regs.rip = 0;
  }
  child->born_tid_addr_ = (control.flags & CLONE_CHILD_SETTID) && !same_memory ? control.child_tid : 0;
  child->plan_.ops.assign(first_ops.begin(), first_ops.end());
  child->after_ops_ = AfterOps::kForkChild;
  StartChild(control, std::move(child), request);
}

// Answers with the clone. From then on the parent may be served elsewhere.
void Task::StartChild(const CloneControl& control, Ref<Task> child, platform::CloneRequest& request) {
  const bool vfork = (control.flags & CLONE_VFORK) != 0;
  const bool report = vfork || holds_memory_op_ || interrupted() || traced() || kernel().tracer() != nullptr;
  request.after = report ? platform::AfterOps::kReport : platform::AfterOps::kResume;
  thread_->regs().rax = static_cast<uint64_t>(child->tid());
  call_.reset();
  after_ops_ = AfterOps::kClone;
  clone_child_ = report ? child : nullptr;
  clone_waits_ = vfork;
  const Ref<platform::GuestThread> thread = thread_;
  HandToGuest(*thread);
  const ErrnoOr<Ref<platform::GuestThread>> made = thread->Clone(request);
  if (!made.ok()) {
    Owner guest = Owner::kGuest;
    const bool buried = !owner_.compare_exchange_strong(guest, Owner::kSentry, std::memory_order_acq_rel);
    child->Die();
    if (buried) return;  // its process has died meanwhile, and OnGone was faster
    after_ops_ = AfterOps::kNothing;
    clone_child_.reset();
    EndCall(Errno::kAgain);
    return;
  }
  Owner guest = Owner::kGuest;
  if (host_gone_.load(std::memory_order_acquire) &&
      owner_.compare_exchange_strong(guest, Owner::kSentry, std::memory_order_acq_rel)) {
    Die();
  }
}

void Task::FinishClone(const platform::Trap& trap) {
  if (trap.result < 0) {
    clone_child_.reset();
    EndCall(FromHostErrno(static_cast<int>(-trap.result)));
    return;
  }
  ReleaseMemoryOp();
  const int event = std::exchange(clone_event_, 0);
  const auto tid = static_cast<uint64_t>(clone_child_->tid());
  if (event != 0 && Ptrace::StopForEvent(*this, event, tid, AfterStop::kClone)) return;
  EndClone();
}

// The tracer has been told.
void Task::EndClone() {
  const Ref<Task> child = std::move(clone_child_);
  if (!clone_waits_) {
    EndCall(child->tid());
    return;
  }
  vfork_pid_ = child->tid();
  call_ = std::make_unique<RunningCallOf<VforkWait>>(VforkWait{child});
  Outcome outcome = call_->Step(*this);
  Finish(std::move(outcome));
}

// A forked child before its first instruction: what belongs into its own copy of the memory.
void Task::FinishForkChild(const platform::Trap& trap) {
  if (trap.ops_run == 0 && born_tid_addr_ != 0) {
    static_cast<void>(usermem::CopyOut(space(), UserPtr<pid_t>(std::exchange(born_tid_addr_, 0)), tid()));
  }
  if (!plan_.ops.empty()) {
    const auto ops = std::exchange(plan_.ops, {});
    RunOps(AfterOps::kForkChild, ops);
    return;
  }
  ReturnToGuest();
}

}  // namespace cloister::task
