// What a stub says through its doorbell. Everything in the context page is read once.

#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "platform/systrap/core.h"

namespace cloister::systrap {
namespace {

using platform::Trap;

constexpr uint32_t kBornBit = 1;
constexpr uint32_t kAnsweredBit = 2;

constexpr int64_t kSoonNs = 60'000;  // from an answer to the next event of a thread that calls often

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
  if (event == stub::Event::kFetch) return OnFetch(id);
  if (event == stub::Event::kBorn) return OnBorn(id);  // stopped from the start
  if (!Stop()) return false;
  posted_ = false;
  notif_id_ = id;
  habit.Called(NowNs() - answered_at_ < kSoonNs);
  return Serve(event);
}

bool Thread::OnFetch(uint64_t id) {
  if (!Stop() || !std::exchange(fetches_, false)) return false;
  lender_.Lend(*core_->listener, id);
  RunsOn();
  PlaceAnswer();
  core_->listener->Send(id, 0);
  return true;
}

// Ends what a notification in the middle of an answer stopped. An interrupt that came meanwhile left it to
// whoever answers.
void Thread::RunsOn() {
  if (!BeginAnswer()) return;
  core_->turns.GuestRuns();
  if (interrupt_.load()) process_->Interrupt(tid_.load());
}

bool Thread::OnPosted() {
  posted_ = true;
  habit.Called(NowNs() - answered_at_ < kSoonNs);
  return Serve(static_cast<stub::Event>(CopyOnce(context_->event)));
}

bool Thread::OnSleep(uint64_t id, uint64_t cycle) {
  sleep_id_.store(id);
  const uint32_t before = sleep_.fetch_or(kRang);
  if ((before & kRang) != 0) return false;
  if ((before & kAnswered) != 0) {
    SendToSleeper();
    return true;
  }
  return !Claim(cycle) || OnPosted();
}

void Thread::Arm(int64_t now) {
  ++cycle_;
  armed_at_.store(now, std::memory_order_relaxed);
  context_->cycle = cycle_;
  std::atomic_ref(context_->wait_long).store(0, std::memory_order_relaxed);
  armed_.store(2 * cycle_ + 1);
  std::atomic_ref(context_->request).store(stub::kWatched);
}

bool Thread::HasPosted() const {
  return std::atomic_ref(context_->request).load(std::memory_order_acquire) == stub::kPosted;
}

// The watch is read before the request word: another worker may serve the request and arm the thread anew.
bool Thread::ClaimIfPosted() {
  const uint64_t armed = armed_.load();
  const bool unclaimed = armed % 2 == 1;
  return unclaimed && HasPosted() && Claim(armed / 2);
}

bool Thread::Claim(uint64_t cycle) {
  uint64_t armed = 2 * cycle + 1;
  if (!armed_.compare_exchange_strong(armed, armed + 1) || !Stop()) return false;
  habit.Paid();
  return true;
}

Thread::Disarmed Thread::Disarm() {
  const uint64_t armed = armed_.load();
  const bool unclaimed = armed % 2 == 1;
  uint32_t seen = stub::kWatched;
  std::atomic_ref(context_->request).compare_exchange_strong(seen, stub::kUnwatched);
  return unclaimed && seen == stub::kPosted && Claim(armed / 2) ? Disarmed::kClaimed : Disarmed::kRings;
}

bool Thread::Stop() {
  State running = State::kRunning;
  if (!state_.compare_exchange_strong(running, State::kStopped)) return false;
  core_->turns.GuestStops();
  return true;
}

std::string Thread::Describe() const {
  return absl::StrCat("event ", context_->event, ", state ", static_cast<int>(state_.load()), ", pending ",
                      static_cast<int>(pending_), report_ ? " reports" : "", posted_ ? " posted" : "",
                      ", sleep ", sleep_.load(), ", armed ", armed_.load(),
                      expected_.AllTaken() ? "" : ", expects a mapping");
}

// Owner.
bool Thread::Serve(stub::Event event) {
  expected_.Clear();
  switch (event) {
    case stub::Event::kSyscall:
    case stub::Event::kFault:
    case stub::Event::kInterrupt:
      return OnTrapEvent(event);
    case stub::Event::kOpsDone:
      return OnOpsDone();
    case stub::Event::kBorn:
    case stub::Event::kHello:
    case stub::Event::kSleep:
    case stub::Event::kFetch:
      break;
  }
  return false;
}

bool Thread::OnTrapEvent(stub::Event event) {
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
    if (core_->suggests_patches) trap.patch_site = CopyOnce(context_->patch_site);
    if (CopyOnce(context_->window) == 1) window_.Open();
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
  handler_.load()->OnTrap(*this, trap);
  InlineWindow::LeaveWorker();
  return true;
}

bool Thread::OnOpsDone() {
  if (pending_ == Pending::kNothing) return false;
  Trap trap;
  trap.kind = Trap::Kind::kOpsDone;
  trap.result = CopyOnce(context_->op_result);
  trap.ops_run = static_cast<uint32_t>(std::min<uint64_t>(CopyOnce(context_->ops_run), op_count_));
  if (pending_ == Pending::kClone) EndClone(IsError(trap.result));
  pending_ = Pending::kNothing;
  if (sleeps_ && trap.result == -EINTR) interrupt_.store(false);  // told by that
  handler_.load()->OnTrap(*this, trap);
  return true;
}

bool Thread::OnBorn(uint64_t id) {
  if (!starts_stopped_ || (birth_.load() & kBornBit) != 0) return false;
  notif_id_ = id;
  const bool answered = (birth_.fetch_or(kBornBit) & kAnsweredBit) != 0;
  if (answered) Deliver();
  return true;
}

// Before the child's hello is answered, so that one that is to run at once need not ring again.
bool Thread::RunsAtBirth() {
  if (!traps_at_birth_) return false;
  Trap trap;
  trap.kind = Trap::Kind::kOpsDone;
  handler_.load()->OnTrap(*this, trap);
  if ((birth_.load() & kAnsweredBit) == 0 || answer_ != stub::Answer::kResume) return false;
  birth_.fetch_or(kBornBit);
  return true;
}

bool Thread::OnMapping(uint64_t id, const seccomp_data& data) {
  if (!Stop() || !expected_.Take(data)) return false;
  RunsOn();
  // What it says next, it may post.
  if (expected_.AllTaken()) WatchNext();
  PlaceAnswer();
  core_->listener->Continue(id);
  return true;
}

}  // namespace cloister::systrap
