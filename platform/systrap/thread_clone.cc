// Making and binding further host threads.

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "platform/systrap/core.h"

namespace cloister::systrap {
namespace {

using platform::CloneKind;

uint64_t CloneFlags(CloneKind kind) {
  constexpr uint64_t kShared = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND;
  switch (kind) {
    case CloneKind::kThread:
      return kShared | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
    case CloneKind::kSharedProcess:
      return kShared | CLONE_PARENT | CLONE_CHILD_CLEARTID | SIGCHLD;
    case CloneKind::kFork:
      return CLONE_PARENT | CLONE_CHILD_CLEARTID | SIGCHLD;
  }
  return 0;
}

}  // namespace

ErrnoOr<Ref<Thread>> Thread::MakeChild(CloneKind kind, platform::TrapHandler* handler, bool starts_stopped) {
  Ref<HostProcess> process = process_;
  uint32_t slot = slot_;
  if (kind == CloneKind::kFork) {
    const uint32_t index = TRY(core_->arena->Take());
    auto space = MakeRef<Space>(core_->arena.get(), index, core_->slot_limit);
    space->TakeSlotAt(slot);
    process = MakeRef<HostProcess>(std::move(space));
  } else {
    slot = TRY(process_->space().TakeSlot());
    if (kind == CloneKind::kSharedProcess) process = MakeRef<HostProcess>(Ref<Space>(&process_->space()));
  }
  auto child = MakeRef<Thread>(core_, process, slot, handler, starts_stopped);
  child->kind_ = kind;
  if (kind != CloneKind::kFork) child->memory_ = memory_;
  if (!process->Add(child)) {
    child->state_.store(State::kGone);
    if (!starts_stopped) core_->turns.GuestStops();
    if (kind != CloneKind::kFork) process->space().GiveSlot(slot);
    return Errno::kAgain;
  }
  return child;
}

ErrnoOr<Ref<platform::GuestThread>> Thread::Clone(const platform::CloneRequest& request) {
  if (request.kind == CloneKind::kThread && request.set_tls && !request.stop_child) {
    if (const Ref<Thread> idle = process_->TakeIdle(host_tid())) {
      Ref<Thread> child = Adopt(*idle, request);
      if (!child) return Errno::kAgain;
      request.child_handler->OnBorn(*child);
      SendAdoption(*child, request);
      return Ref<platform::GuestThread>(std::move(child));
    }
  }
  Ref<Thread> child = TRY(MakeChild(request.kind, request.child_handler, request.stop_child));
  child->traps_at_birth_ = request.stop_child;
  child->regs_ = request.child_regs;
  request.child_handler->OnBorn(*child);
  SendClone(child, request);
  return Ref<platform::GuestThread>(std::move(child));
}

Ref<Thread> Thread::Adopt(const Thread& idle, const platform::CloneRequest& request) {
  process_->space().TakeSlotAt(idle.slot_);
  auto child = MakeRef<Thread>(core_, process_, idle.slot_, request.child_handler, false);
  child->kind_ = CloneKind::kThread;
  child->memory_ = memory_;
  child->regs_ = request.child_regs;
  child->notif_id_ = idle.notif_id_;
  child->tid_.store(idle.tid_.load());
  if (!process_->Add(child)) {
    child->state_.store(State::kGone);
    core_->turns.GuestStops();
    return nullptr;
  }
  core_->threads.Add(child->tid_.load(), child);
  return child;
}

void Thread::SendAdoption(Thread& child, const platform::CloneRequest& request) {
  if (!BeginAnswer()) return;  // the process is dead, and both are told so
  FillClone(child, request);
  context_->clone.sort = stub::CloneSort::kAdopt;
  child.WriteRegisters();
  FinishAnswer(stub::Answer::kClone);
  child.BecomeChild();
}

// The answer to the last doorbell of the thread before it. Where it runs is for the host to choose.
void Thread::BecomeChild() {
  answer_ = stub::Answer::kAdopt;
  answered_at_ = NowNs();
  core_->listener->WakeOnSameCore(false).IgnoreError();
  core_->listener->Send(notif_id_, static_cast<int64_t>(answer_));
  if (interrupt_.load()) process_->Interrupt(tid_.load());
}

// What both ways of making a thread tell the stub.
void Thread::FillClone(const Thread& child, const platform::CloneRequest& request) {
  stub::Clone& clone = context_->clone;
  clone.tls = request.set_tls ? request.tls : 0;
  clone.child_slot = child.slot_;
  pending_ = Pending::kClone;
  report_ = request.after == platform::AfterOps::kReport;
  op_count_ = 1;
  context_->report = report_ ? 1 : 0;
  WriteRegisters();
}

void Thread::SendClone(Ref<Thread> child, const platform::CloneRequest& request) {
  if (!BeginAnswer()) {  // this thread is gone, and its child never will be
    core_->housekeeper.PostGone(std::move(child));
    return;
  }
  core_->watch.Stay(*this);
  const bool fork = request.kind == CloneKind::kFork;
  const uint64_t token = core_->births.Expect(child);
  child->token_.store(token);
  stub::Clone& clone = context_->clone;
  clone.sort = fork ? stub::CloneSort::kFork : stub::CloneSort::kSharedMemory;
  clone.flags = CloneFlags(request.kind) | (request.set_tls ? CLONE_SETTLS : 0);
  clone.token = token;
  // A thread is known by its token at its first doorbell; a process has to be known before it runs.
  const bool thread = request.kind == CloneKind::kThread;
  clone.says_hello = thread ? 0 : 1;
  clone.parent_tid = thread ? stub::ContextAddress(child->slot_) + stub::kHostTidOffset : 0;
  child->context_->token = thread ? token : 0;
  clone.arena_offset = Arena::Offset(child->process_->space().index());
  clone.child_stops = child->starts_stopped_ ? 1 : 0;
  clone.child_regs = request.child_regs;
  if (clone.child_regs.cs == 0) clone.child_regs.cs = regs_.cs;
  if (clone.child_regs.ss == 0) clone.child_regs.ss = regs_.ss;
  clone_args_ = {CloneFlags(request.kind) | (request.set_tls ? CLONE_SETTLS : 0),
                 fork ? 0 : stub::LaunchAddress(child->slot_),
                 thread ? stub::ContextAddress(child->slot_) + stub::kHostTidOffset : 0,
                 stub::ContextAddress(child->slot_) + stub::kAliveOffset,
                 request.set_tls ? request.tls : 0,
                 token};
  clone_expected_ = true;
  FillClone(*child, request);
  child_ = std::move(child);
  FinishAnswer(stub::Answer::kClone);
}

bool Thread::OnClone(uint64_t id, const seccomp_data& data) {
  if (!Stop() || pending_ != Pending::kClone) return false;
  for (size_t i = 0; i < clone_args_.size(); ++i) {
    if (data.args[i] != clone_args_[i]) return false;
  }
  RunsOn();
  if (!clone_expected_) {
    // The host restarts a clone that a freezer interrupted, clone(2) ERESTARTNOINTR. One leave,
    // one child: the guest sees its fork fail.
    core_->listener->SendErrno(id, EAGAIN);
    return true;
  }
  clone_expected_ = false;
  WatchNext();
  PlaceAnswer();
  core_->listener->Continue(id);
  return true;
}

void Thread::BindThread(pid_t tid) {
  token_.store(0);
  context_->token = 0;
  tid_.store(tid);
  core_->threads.Add(tid, Ref<Thread>(this));
}

bool Thread::IsBirthMapping(const seccomp_data& data) const {
  const std::array<uint64_t, 6> args = {
      stub::kContextBase,     stub::kContextRegionBytes,
      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | data.args[3] >> stub::kTokenShift << stub::kTokenShift,
      stub::kArenaFd,         Arena::Offset(process_->space().index())};
  return kind_ == CloneKind::kFork && std::equal(args.begin(), args.end(), data.args);
}

bool Thread::AnswerHello(uint64_t id) {
  if (kind_ != CloneKind::kFork) return core_->listener->Send(id, 0);
  context_->runs_at_birth = RunsAtBirth() ? 1 : 0;
  return core_->listener->Continue(id);
}

void Thread::Bind(pid_t tid, uint64_t hello_id) {
  token_.store(0);
  tid_.store(tid);
  core_->threads.Add(tid, Ref<Thread>(this));
  if (kind_ != CloneKind::kThread) {
    core_->processes.Add(tid, process_);
    process_->Bind(tid);
  }
  const bool sent = AnswerHello(hello_id);
  if (interrupt_.load()) process_->Interrupt(tid);
  if (!sent && kind_ != CloneKind::kThread && core_->processes.TakeIfReaped(tid)) {
    for (const Ref<Thread>& thread : process_->Bury()) thread->Gone(0);
  }
}

void Thread::BindZygote(pid_t pid) {
  in_background_ = true;
  tid_.store(pid);
  process_->Add(Ref<Thread>(this));
  core_->threads.Add(pid, Ref<Thread>(this));
  core_->processes.Add(pid, process_);
  process_->Bind(pid);
}

void Thread::EndClone(bool failed) {
  pending_ = Pending::kNothing;
  clone_expected_ = false;
  core_->watch.EndStay(*this);
  const Ref<Thread> child = std::move(child_);
  if (failed && child) child->Gone(0);
}

}  // namespace cloister::systrap
