#include "platform/ptrace/thread.h"

#include <algorithm>
#include <utility>

#include "base/log/log.h"
#include "platform/ptrace/tracer.h"

namespace cloister::ptrace {

Thread::Thread(Tracer* tracer, Ref<Process> process, platform::TrapHandler* handler, Birth birth)
    : tracer_(tracer),
      process_(std::move(process)),
      handler_(handler),
      birth_(birth),
      space_(process_->space()),
      state_(birth == Birth::kStopped ? State::kStopped : State::kRunning) {}

bool Thread::BeginAnswer() {
  State expected = State::kStopped;
  if (state_.compare_exchange_strong(expected, State::kRunning)) return true;
  if (expected == State::kRunning) LOG(kError, "host thread %d was answered twice", tid_.load());
  return false;
}

void Thread::Give(Answer answer) {
  answer_ = answer;
  tracer_->Tell(Ref<Thread>(this), Order::Task::kAnswer);
}

void Thread::Resume() {
  if (BeginAnswer()) Give(Answer::kResume);
}

void Thread::Exit() {
  if (BeginAnswer()) Give(Answer::kExit);
}

void Thread::RunOps(std::span<const platform::HostOp> ops, platform::AfterOps after) {
  if (!BeginAnswer()) return;
  ops = ops.first(std::min(ops.size(), kMaxOps));
  ops_.assign(ops.begin(), ops.end());
  after_ = after;
  Give(Answer::kOps);
}

void Thread::LeaveMemory() {
  space_ = MakeRef<Space>();
  process_->MoveTo(space_);
}

// Either this sees that the guest runs, or RunGuest sees the wish.
void Thread::Interrupt() {
  interrupt_.store(true);
  if (runs_guest_.load()) process_->Interrupt(tid_.load());
}

void Thread::CarryOut() {
  if (gone_) {
    if (answer_ == Answer::kClone) GiveUpChild();
    return;
  }
  if (activity_ == Activity::kUnborn) {
    answered_unborn_ = true;
    return;
  }
  switch (answer_) {
    case Answer::kResume:
      RunGuest();
      return;
    case Answer::kOps:
      ops_run_ = 0;
      RunNextOp();
      return;
    case Answer::kClone:
      StartClone();
      return;
    case Answer::kExit:
      if (process_->KeepFirst(*this)) {
        Gone(0);
      } else {
        Leave();
      }
      return;
  }
}

void Thread::Gone(int host_status) {
  if (std::exchange(gone_, true)) return;
  const Ref<Thread> self(this);
  state_.store(State::kGone);
  runs_guest_.store(false);
  tracer_->files().EndTurn(*this);
  if (token_ != 0) tracer_->ForgetBirth(std::exchange(token_, 0));
  if (activity_ == Activity::kClone) GiveUpChild();
  if (const Ref<Thread> first = process_->Remove(this)) first->Leave();
  handler_->OnGone(*this, host_status);
}

}  // namespace cloister::ptrace
