// From a trap to its answer: the part of a task that workers run.

#include <linux/ptrace.h>
#include <signal.h>

#include <cerrno>
#include <utility>
#include <variant>

#include "base/log/log.h"
#include "sentry/task/current.h"
#include "sentry/task/exec_state.h"
#include "sentry/task/ptrace.h"
#include "sentry/task/seccomp.h"
#include "sentry/task/task.h"
#include "sentry/wait/parker.h"

namespace cloister::task {

using platform::Trap;

constexpr uint64_t kTrapFlag = 0x100;  // X86_EFLAGS_TF

void Task::OnBorn(platform::GuestThread& thread) {
  IncRef();
  {
    absl::MutexLock lock(&own_mu_);
    thread_ = Ref<platform::GuestThread>(&thread);
    mm_->SetSpace(Ref<platform::AddressSpace>(&thread.address_space()));
  }
  HandToGuest(thread);
}

void Task::OnTrap(platform::GuestThread&, const Trap& trap) {
  const Ref<Task> self(this);
  wait::WakeScope scope;
  Owner guest = Owner::kGuest;
  // Lost against OnGone: the task has ended already.
  if (!owner_.compare_exchange_strong(guest, Owner::kSentry, std::memory_order_acq_rel)) return;
  TakeQuickState();
  if (newborn_regs_) {  // it was to stop before its first instruction
    thread_->regs() = *std::exchange(newborn_regs_, std::nullopt);
    ReturnToGuest();
    return;
  }
  const bool stepped = std::exchange(forced_tf_, false);
  if (stepped) thread_->regs().eflags &= ~kTrapFlag;
  switch (trap.kind) {
    case Trap::Kind::kSyscall:
      if (trap.patch_site == 0 || !StartPatch(trap.patch_site)) ServeSyscall();
      return;
    case Trap::Kind::kFault: {
      siginfo_t info = {};
      info.si_signo = trap.fault.signo;
      info.si_code = trap.fault.code;
      info.si_addr = reinterpret_cast<void*>(trap.fault.addr);
      const bool is_step = trap.fault.signo == SIGTRAP && trap.fault.code == TRAP_TRACE;
      if (stepped && is_step && !Ptrace::TellsOfStep(*this, &info)) {
        ReturnToGuest();
        return;
      }
      last_fault_ = trap.fault;
      ForceSignal(info);
      ReturnToGuest();
      return;
    }
    case Trap::Kind::kInterrupt:
      ReturnToGuest();
      return;
    case Trap::Kind::kOpsDone:
      OnOpsDone(trap);
      return;
  }
}

void Task::OnGone(platform::GuestThread& thread, int) {
  wait::WakeScope scope;
  {
    const Ref<Task> self(this);
    bool current;
    {
      absl::MutexLock lock(&own_mu_);
      current = thread_.get() == &thread;
    }
    if (current && owner_.load(std::memory_order_acquire) != Owner::kDead) {
      {
        absl::MutexLock lock(&kernel().tree_mu());
        BeginGroupExitLocked(*group_, SIGKILL, this);
        killed_ = true;
        work_pending_.store(true, std::memory_order_release);
      }
      host_gone_.store(true, std::memory_order_release);
      Owner guest = Owner::kGuest;
      if (owner_.compare_exchange_strong(guest, Owner::kSentry, std::memory_order_acq_rel)) {
        Die();
      } else {
        Interrupt();
      }
    }
  }
  DecRef();
}

void Task::ServeSyscall() {
  if (traced() && Ptrace::StopAtSyscallEntry(*this)) return;
  RunSyscall();
}

void Task::RunSyscall() {
  args_ = SyscallArgs(thread_->regs());
  const seccomp::Filter* const filter = filters.get();
  if (filter != nullptr && !filter->AlwaysAllows(args_.number()) && Seccomp::Answers(*this)) return;
  Dispatch();
}

void Task::Dispatch() {
  const CurrentTask current(*this);
  std::unique_ptr<RunningCall> parked;
  Outcome outcome = kernel().dispatcher()(*this, args_, &parked);
  call_ = std::move(parked);
  Finish(std::move(outcome));
}

void Task::Finish(Outcome outcome) {
  if (const Answer* answer = std::get_if<Answer>(&outcome)) {
    EndCall(*answer);
  } else if (const Block* block = std::get_if<Block>(&outcome)) {
    ParkOn(*block);
  } else if (RunPlan* run = std::get_if<RunPlan>(&outcome)) {
    FinishPlan(std::move(*run));
  } else if (const RunHostOps* ops = std::get_if<RunHostOps>(&outcome)) {
    RunOps(ops->then_step ? AfterOps::kStep : AfterOps::kReturnValue, ops->ops);
  } else if (ReadHostFile* read = std::get_if<ReadHostFile>(&outcome)) {
    FinishHostRead(std::move(*read));
  } else if (const CloneControl* clone = std::get_if<CloneControl>(&outcome)) {
    Clone(*clone);
  } else if (ExecControl* exec = std::get_if<ExecControl>(&outcome)) {
    Exec(std::move(*exec));
  } else if (const ExitControl* exit = std::get_if<ExitControl>(&outcome)) {
    Exit(exit->wait_status, exit->group);
  } else if (std::holds_alternative<ServeControl>(outcome)) {
    call_.reset();
    Dispatch();
  } else {
    Sigreturn();
  }
}

void Task::FinishPlan(RunPlan run) {
  plan_ = std::move(run.plan);
  if (plan_.ops.empty()) {
    EndCall(static_cast<int64_t>(plan_.result));
    return;
  }
  if (holds_memory_op_ || plan_.ops.size() > platform::GuestThread::kMaxOps || MustSeeEnd()) {
    RunOps(AfterOps::kPlan, plan_.ops);
    return;
  }
  // The host reports only if it fails: the guest goes on with the result.
  call_.reset();
  thread_->regs().rax = plan_.result;
  const auto ops = plan_.ops;
  const auto keep = plan_.keep;
  RunOps(AfterOps::kPlan, ops, platform::AfterOps::kResume);
}

// A file that is lent must stay open until the thread has it: it reports then.
void Task::FinishHostRead(ReadHostFile read) {
  call_.reset();
  host_read_ = std::move(read);
  const auto& what = host_read_.read;
  const bool is_lent = lent_read_id_ == what.host_id;
  if (is_lent) host_read_.file.reset();
  thread_->regs().rax = what.length;
  const auto op = platform::HostOp::ReadFile(host_read_.addr, what.length, static_cast<uint64_t>(what.offset),
                                             is_lent ? -1 : what.host_fd, what.host_id);
  const bool reports = !is_lent || MustSeeEnd();
  RunOps(AfterOps::kHostRead, {&op, 1}, reports ? platform::AfterOps::kReport : platform::AfterOps::kResume);
}

void Task::OnHostRead(const Trap& trap) {
  const Ref<vfs::FileDescription> keep = std::move(host_read_.file);
  if (trap.result >= 0) {
    lent_read_id_ = host_read_.read.host_id;
    EndCall(static_cast<int64_t>(host_read_.read.length));
    return;
  }
  lent_read_id_ = 0;
  failed_read = host_read_.read;
  Dispatch();
}

bool Task::MustSeeEnd() const { return interrupted() || traced() || kernel().tracer() != nullptr; }

bool Task::StartPatch(uint64_t site) {
  if (group_->was_traced.load(std::memory_order_acquire) || !TakeMemoryOp()) return false;
  const auto ops = mm_->PatchOps(site);
  if (ops.empty()) {
    ReleaseMemoryOp();
    return false;
  }
  LOG(kDebug, "the call site at %x is patched", site);
  RunOps(AfterOps::kPatchCall, ops);
  return true;
}

bool Task::ParkThread() {
  thread_->WillWait();
  return Park();
}

void Task::ParkOn(const Block& block) {
  if (call_ == nullptr) {
    LOG(kError, "syscall %d blocks without a call", args_.number());
    EndCall(Errno::kIo);
    return;
  }
  block_ = block;
  parked_syscall_.store(static_cast<int>(args_.number()), std::memory_order_relaxed);
  Arm(block_);
  StepParked();
}

void Task::OnWake() {
  const Ref<Task> self(this);
  if (after_stop_ != AfterStop::kNothing) {
    Ptrace::OnWake(*this);
    return;
  }
  if (call_ == nullptr) {  // stood still: stopped or frozen
    Disarm();
    ReturnToGuest();
    return;
  }
  StepParked();
}

namespace {

bool SameQueues(const Block& a, const Block& b) {
  if (a.on.size() != b.on.size() || a.until != b.until) return false;
  for (size_t i = 0; i < a.on.size(); ++i) {
    if (a.on[i].queue != b.on[i].queue || !(a.on[i].events == b.on[i].events)) return false;
  }
  return true;
}

}  // namespace

void Task::EndWait() {
  Disarm();
  block_ = Block();
  parked_syscall_.store(-1, std::memory_order_relaxed);
}

// Armed. Runs the call until it ends, or parks for good.
void Task::StepParked() {
  const CurrentTask current(*this);
  for (;;) {
    if (interrupted()) {
      bool still;
      bool dead;
      bool errand;
      {
        absl::MutexLock lock(&kernel().tree_mu());
        dead = killed_;
        errand = !dead && !errands_.empty();
        still = !dead && ShouldStandStillLocked();
      }
      if (dead) {
        EndWait();
        call_.reset();
        ReleaseMemoryOp();
        End();
        return;
      }
      if (errand && Errands::Begin(*this)) return;
      if (still) {
        if (ParkThread()) return;
        continue;
      }
    }
    Outcome outcome = call_->Step(*this);
    Block* block = std::get_if<Block>(&outcome);
    if (block == nullptr) {
      EndWait();
      Finish(std::move(outcome));
      return;
    }
    const bool late = expired();
    if (late || (!block->killable_only && SignalToDeliver())) {
      EndWait();
      EndCall(call_->Withdraw(*this).value_or(late ? block->at_deadline : block->at_signal));
      return;
    }
    if (!SameQueues(block_, *block)) {
      Disarm();
      block_ = std::move(*block);
      Arm(block_);
      continue;
    }
    if (block_.host_sleep) {
      const platform::HostOp sleep = *block_.host_sleep;
      RunOps(AfterOps::kHostSleep, {&sleep, 1});
      return;
    }
    if (ParkThread()) return;
  }
}

void Task::EndCall(Answer answer) {
  ReleaseMemoryOp();
  if (vfork_pid_ != 0 && Ptrace::StopForEvent(*this, PTRACE_EVENT_VFORK_DONE,
                                              static_cast<uint64_t>(vfork_pid_), AfterStop::kVforkDone)) {
    return;
  }
  vfork_pid_ = 0;
  if (answer == Answer(Restart::kRestartBlock)) {
    restart_call = std::move(call_);
  } else {
    call_.reset();
  }
  if (const Tracer tracer = kernel().tracer()) tracer(*this, args_, answer.rax());
  thread_->regs().rax = static_cast<uint64_t>(answer.rax());
  LeaveSyscall();
}

// Linux: syscall_exit_work.
void Task::LeaveSyscall() {
  if (traced() && Ptrace::StopAtSyscallExit(*this)) return;
  AfterSyscall();
}

void Task::AfterSyscall() {
  if (Answer(static_cast<int64_t>(thread_->regs().rax)).wants_restart() && !interrupted()) {
    SettleRestart(nullptr);
  }
  ReturnToGuest();
}

void Task::ReturnToGuest() {
  if (interrupted() || saved_mask_.has_value()) {
    if (DoPendingWork() == Delivery::kGivenAway) return;
  }
  ResumeGuest();
}

void Task::ResumeGuest() {
  const Ref<platform::GuestThread> thread = thread_;
  const bool watches = watches_.load(std::memory_order_acquire);
  if (watches) Ptrace::RememberWatched(*this);
  if ((watches || trace_step_.load(std::memory_order_relaxed)) && !(thread->regs().eflags & kTrapFlag)) {
    thread->regs().eflags |= kTrapFlag;
    forced_tf_ = true;
  }
  HandToGuest(*thread);
  thread->Resume();
  Owner guest = Owner::kGuest;
  if (host_gone_.load(std::memory_order_acquire) &&
      owner_.compare_exchange_strong(guest, Owner::kSentry, std::memory_order_acq_rel)) {
    Die();
  }
}

void Task::RunOps(AfterOps after, std::span<const platform::HostOp> ops, platform::AfterOps then) {
  after_ops_ = after;
  const Ref<platform::GuestThread> thread = thread_;
  HandToGuest(*thread);
  thread->RunOps(ops.first(std::min(ops.size(), platform::GuestThread::kMaxOps)), then);
  Owner guest = Owner::kGuest;
  if (host_gone_.load(std::memory_order_acquire) &&
      owner_.compare_exchange_strong(guest, Owner::kSentry, std::memory_order_acq_rel)) {
    Die();
  }
}

void Task::OnOpsDone(const Trap& trap) {
  switch (std::exchange(after_ops_, AfterOps::kNothing)) {
    case AfterOps::kNothing:
      return ReturnToGuest();
    case AfterOps::kPlan:
      if (trap.result < 0 && trap.result >= -4095 && trap.ops_run > 0) {
        mm_->Failed(plan_, trap.ops_run);
        // brk(2) has no errors: it tells the old break.
        EndCall(plan_.result_if_failed ? Answer(static_cast<int64_t>(*plan_.result_if_failed))
                                       : Answer(FromHostErrno(static_cast<int>(-trap.result))));
        return;
      }
      plan_.ops.erase(plan_.ops.begin(),
                      plan_.ops.begin() + std::min<size_t>(trap.ops_run, plan_.ops.size()));
      if (!plan_.ops.empty()) return RunOps(AfterOps::kPlan, plan_.ops);
      return EndCall(static_cast<int64_t>(plan_.result));
    case AfterOps::kHostSleep:
      if (trap.result == -EINTR) return StepParked();
      EndWait();
      [[fallthrough]];
    case AfterOps::kReturnValue:
      EndCall(trap.result);
      return;
    case AfterOps::kHostRead:
      return OnHostRead(trap);
    case AfterOps::kStep: {
      const CurrentTask current(*this);
      ops_result = trap.result;
      Finish(call_->Step(*this));
      return;
    }
    case AfterOps::kExecStep:
      return ExecStep(&trap);
    case AfterOps::kSignalFrame:
      // The stack was good a moment ago; if it is not now, the guest faults by itself.
      if (traced() && Ptrace::StopAtHandler(*this)) return;
      return ReturnToGuest();
    case AfterOps::kSigreturn:
      if (trap.result < 0) {
        siginfo_t info = {};
        info.si_signo = SIGSEGV;
        info.si_code = SI_KERNEL;
        ForceSignal(info);
      }
      LeaveSyscall();
      return;
    case AfterOps::kClone:
      return FinishClone(trap);
    case AfterOps::kForkChild:
      return FinishForkChild(trap);
    case AfterOps::kPatchCall:
      ReleaseMemoryOp();
      ServeSyscall();
      return;
    case AfterOps::kLastWakes:
      return OnLastWakes(trap);
    case AfterOps::kErrand:
      return Errands::OnOpsDone(*this, trap.result, trap.ops_run);
  }
}

}  // namespace cloister::task
