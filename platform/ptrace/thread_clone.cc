// Making further host threads.

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include "platform/ptrace/tracer.h"
#include "platform/stub/tracee_layout.h"

namespace cloister::ptrace {
namespace {

using platform::CloneKind;

// Not CLONE_FILES for a process: whoever dies while it receives a file leaves that open in its own table
// alone.
uint64_t CloneFlags(CloneKind kind) {
  switch (kind) {
    case CloneKind::kThread:
      return CLONE_PTRACE | CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    case CloneKind::kSharedProcess:
      return CLONE_PTRACE | CLONE_VM | CLONE_FS | CLONE_PARENT | SIGCHLD;
    case CloneKind::kFork:
      return CLONE_PTRACE | CLONE_PARENT | SIGCHLD;
  }
  return 0;
}

}  // namespace

ErrnoOr<Ref<platform::GuestThread>> Thread::Clone(const platform::CloneRequest& request) {
  const bool is_thread = request.kind == CloneKind::kThread;
  const Ref<Process> process =
      is_thread ? process_ : MakeRef<Process>(request.kind == CloneKind::kFork ? MakeRef<Space>() : space_);
  const Birth birth = request.stop_child ? Birth::kReports : Birth::kRuns;
  const auto child = MakeRef<Thread>(tracer_, process, request.child_handler, birth);
  if (!process->Add(child)) return Errno::kAgain;
  child->is_process_ = !is_thread;
  child->regs_ = request.child_regs;
  if (request.set_tls) child->tls_ = request.tls;
  request.child_handler->OnBorn(*child);
  if (!BeginAnswer()) {  // this thread is gone, and its child never will be
    tracer_->Tell(child, Order::Task::kFarewell);
    return Ref<platform::GuestThread>(child);
  }
  child_ = child;
  kind_ = request.kind;
  after_ = request.after;
  Give(Answer::kClone);
  return Ref<platform::GuestThread>(child);
}

void Thread::Fork(const Ref<Thread>& child) {
  if (gone_) {
    child->Gone(0);
    return;
  }
  state_.store(State::kRunning);
  child_ = child;
  kind_ = CloneKind::kFork;
  after_ = platform::AfterOps::kReport;
  StartClone();
}

// The child inherits the token with the registers.
void Thread::StartClone() {
  child_->token_ = tracer_->ExpectBirth(child_);
  platform::Registers regs = {};
  regs.rax = SYS_clone;
  regs.rdi = CloneFlags(kind_);
  regs.rbx = child_->token_;
  ResumeAt(stub::kTraceeGate, regs, Activity::kClone);
}

void Thread::OnCloneResult(int64_t result) {
  activity_ = Activity::kNothing;
  const Ref<Thread> child = child_;
  if (result < 0) {
    GiveUpChild();
    Report({.kind = platform::Trap::Kind::kOpsDone, .result = result, .ops_run = 1});
    return;
  }
  child_ = nullptr;
  const auto tid = static_cast<pid_t>(result);
  pid_t unknown = 0;
  child->tid_.compare_exchange_strong(unknown, tid);
  if (tracer_->TakeUnknownEnd(tid)) child->Gone(0);
  if (gone_) return;
  if (after_ == platform::AfterOps::kResume) {
    RunGuest();
  } else {
    Report({.kind = platform::Trap::Kind::kOpsDone, .ops_run = 1});
  }
}

// Unless it has been born: then its own end is announced.
void Thread::GiveUpChild() {
  const Ref<Thread> child = std::move(child_);
  if (!child) return;
  const bool born = child->activity_ != Activity::kUnborn;
  if (!born) child->Gone(0);
}

}  // namespace cloister::ptrace
