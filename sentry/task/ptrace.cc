#include "sentry/task/ptrace.h"

#include <linux/ptrace.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <utility>

#include "sentry/task/ptrace_access.h"
#include "sentry/wait/parker.h"

namespace cloister::task {
namespace {

siginfo_t KernelSignal(int signo) {
  siginfo_t info = {};
  info.si_signo = signo;
  info.si_code = SI_KERNEL;
  return info;
}

// The thread that made the process, or another one where that has ended.
Task* MakerLocked(Kernel& kernel, const ThreadGroup& child) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
  if (child.parent == nullptr || child.parent->tasks.empty()) return nullptr;
  Task* const maker = kernel.FindTaskLocked(child.maker_tid);
  return maker != nullptr && &maker->group() == child.parent ? maker : child.parent->tasks.front();
}

}  // namespace

// SUSPEND_SECCOMP needs a tracer without a filter of its own: EINVAL where it is not built in.
ErrnoOrVoid Ptrace::CheckOptions(uint64_t options) {
  constexpr uint64_t kKnown = 0xff | PTRACE_O_EXITKILL;
  if (options & ~kKnown) return Errno::kInval;
  return {};
}

void Ptrace::LinkLocked(Task& tracer, Task& tracee) {
  tracee.tracee_.tracer = &tracer;
  tracee.tracee_.tracer_is_capable = tracer.GetCred()->Has(CAP_SYS_PTRACE);
  tracer.tracees_.push_back(&tracee);
  tracee.traced_.store(true, std::memory_order_release);
  tracee.group().was_traced.store(true, std::memory_order_release);
}

// A stopped one runs on; where its signal was not told yet, with that.
void Ptrace::UnlinkLocked(Task& tracee) {
  std::erase(tracee.tracee_.tracer->tracees_, &tracee);
  Tracee left = std::exchange(tracee.tracee_, Tracee());
  tracee.traced_.store(false, std::memory_order_release);
  tracee.trace_mode_.store(TraceMode::kCont, std::memory_order_relaxed);
  tracee.trace_step_.store(false, std::memory_order_relaxed);
  tracee.watches_.store(false, std::memory_order_relaxed);
  if (tracee.trace_stopped()) {
    tracee.tracee_.stop.info = left.stop.info;
    tracee.tracee_.resume_signal = left.resume_signal;
    tracee.tracee_.busy = left.busy;
  }
  tracee.trace_stopped_.store(false, std::memory_order_release);
  tracee.MarkWorkLocked();
}

ErrnoOrVoid Ptrace::TraceMe(Task& task) {
  absl::MutexLock lock(&Kernel::tree_mu());
  Task* const tracer = MakerLocked(task.kernel(), task.group());
  if (task.tracee_.tracer != nullptr) return Errno::kPerm;
  if (tracer == nullptr) return Errno::kPerm;  // the sandbox itself does not trace
  // Linux: cap_ptrace_traceme.
  const auth::CredRef parent = tracer->GetCred();
  if (!task.cred()->permitted.IsSubsetOf(parent->permitted) && !parent->Has(CAP_SYS_PTRACE))
    return Errno::kPerm;
  LinkLocked(*tracer, task);
  return {};
}

ErrnoOrVoid Ptrace::Attach(Task& tracer, Task& target, bool seize, uint32_t options) {
  if (&tracer.group() == &target.group()) return Errno::kPerm;
  if (!MayAccess(tracer, target, AccessMode::kRealCreds)) return Errno::kPerm;
  absl::MutexLock lock(&Kernel::tree_mu());
  if (target.kernel().FindTaskLocked(target.tid()) != &target) return Errno::kSrch;
  if (target.tracee_.tracer != nullptr) return Errno::kPerm;
  LinkLocked(tracer, target);
  target.tracee_.seized = seize;
  target.tracee_.options = options;
  if (!seize) target.SendToThreadLocked(KernelSignal(SIGSTOP));
  if (target.stopped_.load(std::memory_order_acquire)) target.tracee_.trap_stop = true;
  target.MarkWorkLocked();  // it may have no quick calls from now on
  return {};
}

Task* Ptrace::FindLocked(Task& tracer, pid_t tid) {
  Task* const task = tracer.kernel().FindTaskLocked(tid);
  return task != nullptr && task->tracee_.tracer == &tracer ? task : nullptr;
}

Task* Ptrace::FindStoppedLocked(Task& tracer, pid_t tid) {
  Task* const task = FindLocked(tracer, tid);
  if (task == nullptr || !task->trace_stopped() || task->tracee_.listening) return nullptr;
  return task->killed_ && !task->tracee_.ending ? nullptr : task;
}

Tracee& Ptrace::StateLocked(Task& tracee) { return tracee.tracee_; }

platform::Registers& Ptrace::RegistersLocked(Task& tracee) { return tracee.regs(); }

wait::Block Ptrace::BlockWhileBusyLocked(Task& tracee) {
  wait::Block block;
  block.on.push_back({Ref<RefCounted>(&tracee), &tracee.idle_queue_, wait::Poll::kIn});
  block.killable_only = true;
  return block;
}

signal::SignalSet Ptrace::MaskLocked(Task& tracee) { return tracee.saved_mask_.value_or(tracee.mask_); }

void Ptrace::SetMaskLocked(Task& tracee, signal::SignalSet mask) {
  tracee.saved_mask_.reset();
  tracee.ChangeMaskLocked(mask);
}

const signal::PendingSignals& Ptrace::PendingLocked(Task& tracee, bool shared) {
  return shared ? tracee.group().pending : tracee.pending_;
}

ErrnoOrVoid Ptrace::SetDebugRegisterLocked(Task& tracee, int number, uint64_t value) {
  TRY_VOID(tracee.tracee_.debug.Set(number, value));
  tracee.watches_.store(tracee.tracee_.debug.enabled(), std::memory_order_release);
  return {};
}

void Ptrace::ResumeLocked(Task& tracee, TraceMode mode, bool step, int signo) {
  tracee.trace_mode_.store(mode, std::memory_order_relaxed);
  tracee.trace_step_.store(step, std::memory_order_relaxed);
  tracee.tracee_.resume_signal = signo;
  tracee.trace_stopped_.store(false, std::memory_order_release);
  tracee.MarkWorkLocked();
}

void Ptrace::DetachLocked(Task& tracee, int signo) {
  tracee.tracee_.resume_signal = signo;
  UnlinkLocked(tracee);
}

ErrnoOrVoid Ptrace::InterruptLocked(Task& tracee) {
  if (!tracee.tracee_.seized) return Errno::kIo;
  tracee.tracee_.trap_stop = true;
  tracee.MarkWorkLocked();
  return {};
}

ErrnoOrVoid Ptrace::ListenLocked(Task& tracee) {
  Tracee& state = tracee.tracee_;
  if (!state.seized || !state.stop.info || state.stop.info->si_code >> 8 != PTRACE_EVENT_STOP)
    return Errno::kIo;
  state.listening = true;
  if (state.trap_notify) tracee.MarkWorkLocked();
  return {};
}

void Ptrace::NotifyLocked(Task& task) {
  if (task.tracee_.tracer == nullptr || !task.tracee_.seized) return;
  task.tracee_.trap_notify = true;
  task.MarkWorkLocked();
}

int Ptrace::CloneEventLocked(const Task& parent, uint64_t flags, int exit_signal) {
  if (parent.tracee_.tracer == nullptr || (flags & CLONE_UNTRACED)) return 0;
  const int event = (flags & CLONE_VFORK)    ? PTRACE_EVENT_VFORK
                    : exit_signal != SIGCHLD ? PTRACE_EVENT_CLONE
                                             : PTRACE_EVENT_FORK;
  return (parent.tracee_.options & 1u << event) ? event : 0;
}

// Linux: ptrace_init_task.
void Ptrace::LinkChildLocked(Task& parent, Task& child) {
  if (parent.tracee_.tracer == nullptr) return;
  LinkLocked(*parent.tracee_.tracer, child);
  child.tracee_.seized = parent.tracee_.seized;
  child.tracee_.tracer_is_capable = parent.tracee_.tracer_is_capable;
  child.tracee_.options = parent.tracee_.options;
  if (child.tracee_.seized) {
    child.tracee_.trap_stop = true;
  } else {
    siginfo_t stop = {};
    stop.si_signo = SIGSTOP;
    child.pending_.Add(stop, ~size_t{0});
  }
  child.work_pending_.store(true, std::memory_order_release);
}

bool Ptrace::TracerIsUntrusted(Task& task) {
  absl::MutexLock lock(&Kernel::tree_mu());
  return task.tracee_.tracer != nullptr && !task.tracee_.tracer_is_capable;
}

bool Ptrace::SeesExitLocked(const ThreadGroup& group) {
  return std::any_of(group.tasks.begin(), group.tasks.end(), [](const Task* task) {
    return task->tracee_.tracer != nullptr && (task->tracee_.options & PTRACE_O_TRACEEXIT);
  });
}

void Ptrace::ReleaseEndingLocked(Task& task) {
  if (!task.trace_stopped() || !task.tracee_.ending) return;
  task.trace_stopped_.store(false, std::memory_order_release);
  task.Interrupt();
}

void Ptrace::AddCorpseLocked(Task& tracer, Corpse corpse) {
  ThreadGroup& group = tracer.group();
  const auto uid = corpse.group->uid;
  const int status = corpse.wait_status;
  tracer.kernel().HoldIdLocked(corpse.tid);
  siginfo_t info = {};
  info.si_signo = SIGCHLD;
  info.si_code = WIFEXITED(status) ? CLD_EXITED : CLD_KILLED;
  info.si_pid = corpse.tid;
  info.si_uid = uid;
  info.si_status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
  tracer.corpses_.push_back(std::move(corpse));
  wait::WakeScope::NotifyLater(Ref<RefCounted>(&group), group.child_queue, wait::Poll::kIn);
  Task::SendToGroupLocked(group, info);
}

// It has been waited for, or nobody will: of a process its parent hears now.
void Ptrace::DropCorpseLocked(const Corpse& corpse) {
  corpse.group->kernel().DropIdLocked(corpse.tid);
  if (!corpse.is_process()) return;
  corpse.group->leader_tracer = nullptr;
  Task::EndOfProcessLocked(*corpse.group);
}

void Ptrace::EndLocked(Task& task, int wait_status) {
  if (!task.tracees_.empty() || !task.corpses_.empty() || task.has_traced_) EndTraceesLocked(task);
  Task* const tracer = task.tracee_.tracer;
  if (tracer == nullptr) return;
  std::erase(tracer->tracees_, &task);
  task.tracee_ = Tracee();
  task.traced_.store(false, std::memory_order_release);
  if (task.tid() == task.pid()) {
    task.group().leader_tracer = tracer;
    tracer->has_traced_ = true;
    return;
  }
  AddCorpseLocked(*tracer, {Ref<ThreadGroup>(&task.group()), task.tid(), wait_status});
}

// Linux: exit_ptrace.
void Ptrace::EndTraceesLocked(Task& tracer) {
  while (!tracer.tracees_.empty()) {
    Task& tracee = *tracer.tracees_.back();
    const bool kill = (tracee.tracee_.options & PTRACE_O_EXITKILL) != 0;
    // What wait(2) has not told yet is delivered, as if the tracer had passed it on.
    const bool signal = tracee.trace_stopped() && tracee.after_stop_ == AfterStop::kSignal;
    if (signal) tracee.tracee_.resume_signal = tracee.tracee_.stop.code;
    UnlinkLocked(tracee);
    if (kill) Task::SendToGroupLocked(tracee.group(), KernelSignal(SIGKILL));
  }
  for (const Ref<ThreadGroup>& group : tracer.kernel().GroupsLocked()) {
    if (group->leader_tracer == &tracer && group->state != ThreadGroup::State::kZombie)
      group->leader_tracer = nullptr;
  }
  for (const Corpse& corpse : std::exchange(tracer.corpses_, {})) DropCorpseLocked(corpse);
}

bool Ptrace::HideZombieLocked(ThreadGroup& group) {
  Task* const tracer = group.leader_tracer;
  if (tracer == nullptr) return false;
  if (&tracer->group() == group.parent) {
    group.leader_tracer = nullptr;
    group.keep_zombie = true;  // a tracer's SIGCHLD may be ignored: it waits all the same
    return false;
  }
  AddCorpseLocked(*tracer, {Ref<ThreadGroup>(&group), group.pid(), group.wait_status});
  return true;
}

bool Ptrace::TracedByLocked(const ThreadGroup& process, const ThreadGroup& group) {
  if (process.tasks.empty()) return false;
  const Task& leader = *process.tasks.front();
  return leader.tracee_.tracer != nullptr && &leader.tracee_.tracer->group() == &group;
}

bool Ptrace::TakeReportLocked(Task& tracer, Wanted wanted, int options, Report* report, bool* any) {
  const bool keep = (options & WNOWAIT) != 0;
  for (size_t i = 0; i < tracer.corpses_.size(); ++i) {
    const Corpse corpse = tracer.corpses_[i];
    if (!wanted(corpse.tid, *corpse.group)) continue;
    *any = true;
    if (!(options & WEXITED)) continue;
    *report = {corpse.group, corpse.tid, corpse.group->uid, true, 0, corpse.wait_status};
    if (keep) return true;
    tracer.corpses_.erase(tracer.corpses_.begin() + static_cast<ptrdiff_t>(i));
    DropCorpseLocked(corpse);
    return true;
  }
  for (Task* const task : tracer.tracees_) {
    if (!wanted(task->tid(), task->group())) continue;
    *any = true;
    TraceStop& stop = task->tracee_.stop;
    if (!task->trace_stopped() || task->tracee_.listening || stop.code == 0) continue;
    const auth::CredRef cred = task->GetCred();
    *report = {
        Ref<ThreadGroup>(&task->group()), task->tid(), cred ? cred->uid : 0, false, CLD_TRAPPED, stop.code};
    if (!keep) stop.code = 0;
    return true;
  }
  return false;
}

}  // namespace cloister::task
