// What a stub says through its doorbell. Everything in the context page is read once.

#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "platform/systrap/core.h"

namespace cloister::systrap {
namespace {

using platform::Trap;

constexpr uint32_t kBornBit = 1;
constexpr uint32_t kAnsweredBit = 2;

// A copy that the compiler may not split into a second look at guest memory.
template <typename T>
T CopyOnce(const T& guest) {
  T copy = guest;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return copy;
}

bool IsError(int64_t result) { return result < 0 && result >= -4095; }

}  // namespace

bool Thread::OnDoorbell(uint64_t id, stub::Event event) {
  if (event == stub::Event::kBorn) return OnBorn(id);  // stopped from the start
  if (state_.load() != State::kRunning) return false;
  switch (event) {
    case stub::Event::kSyscall:
    case stub::Event::kFault:
    case stub::Event::kInterrupt:
      return OnTrapEvent(id, event);
    case stub::Event::kOpsDone:
      return OnOpsDone(id);
    case stub::Event::kBorn:
    case stub::Event::kHello:
      break;
  }
  return false;
}

void Thread::Stop(uint64_t id) {
  notif_id_ = id;
  expected_count_ = expected_next_ = 0;
  State running = State::kRunning;
  if (state_.compare_exchange_strong(running, State::kStopped)) core_->turns.GuestStops();
}

bool Thread::OnTrapEvent(uint64_t id, stub::Event event) {
  if (pending_ != Pending::kNothing) {
    if (report_) return false;
    if (pending_ == Pending::kClone) EndClone(false);
    pending_ = Pending::kNothing;
  }
  if ((birth_.load() & kBornBit) == 0) return false;
  regs_ = CopyOnce(context_->regs);
  Trap trap;
  if (event == stub::Event::kSyscall) {
    trap.kind = Trap::Kind::kSyscall;
  } else if (event == stub::Event::kFault) {
    trap.kind = Trap::Kind::kFault;
    trap.fault = {CopyOnce(context_->fault_signo), CopyOnce(context_->fault_code),
                  CopyOnce(context_->fault_addr), CopyOnce(context_->fault_trapno),
                  CopyOnce(context_->fault_err)};
    // The sentry may use it as an index.
    constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    if (std::count(std::begin(kFaults), std::end(kFaults), trap.fault.signo) == 0) return false;
  } else {
    trap.kind = Trap::Kind::kInterrupt;
    interrupt_.store(false);
  }
  Stop(id);
  handler_.load()->OnTrap(*this, trap);
  return true;
}

bool Thread::OnOpsDone(uint64_t id) {
  if (pending_ == Pending::kNothing) return false;
  Trap trap;
  trap.kind = Trap::Kind::kOpsDone;
  trap.result = CopyOnce(context_->op_result);
  trap.ops_run = static_cast<uint32_t>(std::min<uint64_t>(CopyOnce(context_->ops_run), op_count_));
  if (pending_ == Pending::kClone) EndClone(IsError(trap.result));
  pending_ = Pending::kNothing;
  Stop(id);
  handler_.load()->OnTrap(*this, trap);
  return true;
}

bool Thread::OnBorn(uint64_t id) {
  if (!starts_stopped_ || (birth_.load() & kBornBit) != 0) return false;
  notif_id_ = id;
  const bool answered = (birth_.fetch_or(kBornBit) & kAnsweredBit) != 0;
  if (traps_at_birth_) {
    Trap trap;
    trap.kind = Trap::Kind::kOpsDone;
    handler_.load()->OnTrap(*this, trap);
  } else if (answered) {
    Deliver();
  }
  return true;
}

bool Thread::OnMapping(uint64_t id, const seccomp_data& data) {
  if (const auto birth = std::exchange(birth_mapping_, std::nullopt)) {
    if (!birth->Matches(data)) return false;
    core_->listener->Continue(id);
    return true;
  }
  while (expected_next_ < expected_count_) {
    const ExpectedCall& call = expected_[expected_next_++];
    if (!call.Matches(data)) continue;
    if (call.fd >= 0 && call.fd != lent_fd_) {
      lent_fd_ = call.fd;
      core_->listener->AddFd(id, call.fd, stub::kFirstInjectedFd + static_cast<int>(slot_));
    }
    core_->listener->Continue(id);
    return true;
  }
  return false;
}

}  // namespace cloister::systrap
