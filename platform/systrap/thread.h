#ifndef CLOISTER_PLATFORM_SYSTRAP_THREAD_H_
#define CLOISTER_PLATFORM_SYSTRAP_THREAD_H_

#include <linux/seccomp.h>

#include <array>
#include <atomic>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "platform/api/guest_thread.h"
#include "platform/systrap/call_habit.h"
#include "platform/systrap/expected_calls.h"
#include "platform/systrap/home_cores.h"
#include "platform/systrap/host_process.h"
#include "platform/systrap/inline_window.h"
#include "platform/systrap/lender.h"
#include "platform/systrap/long_wait.h"
#include "platform/systrap/program_memory.h"

namespace cloister::systrap {

struct Core;

// A guest thread: a host thread of a stub process, found by its host thread id.
//
// While running it is the host's; a notification makes it *stopped*, and it belongs to the worker and
// then to whoever answers. What is not atomic and not guarded below is the owner's alone.
//
// A thread made by NewProcess may be answered before its process exists: the answer is kept and
// given when the process reports (kBorn).
class Thread final : public platform::GuestThread {
 public:
  // Takes over slot `slot` of the process' address space.
  Thread(Core* core, Ref<HostProcess> process, uint32_t slot, platform::TrapHandler* handler,
         bool starts_stopped);

  platform::Registers& regs() override { return regs_; }
  platform::AddressSpace& address_space() override { return *memory_; }
  void Resume() override;
  void RunOps(std::span<const platform::HostOp> ops, platform::AfterOps after) override;
  // The child may trap on another worker before this returns.
  ErrnoOr<Ref<platform::GuestThread>> Clone(const platform::CloneRequest& request) override;
  // OnGone comes at once, with status 0; the host thread may live on for the moment it takes to leave.
  void Exit() override;
  void Interrupt() override;
  bool MayStartAfresh() override;
  void LeaveMemory() override;
  void KillProcess() override { process_->Kill(); }
  bool HasQuickCalls() const override { return true; }
  bool HasNativeFutexes() const override;
  bool ReadsFiles() const override;
  bool SleepsInFutex() const override;
  void GiveQuickState(const platform::QuickState& state) override;
  void WithholdQuickCalls() override;
  platform::QuickState TakeQuickState() const override;
  uint64_t HoldSignalMask() override;
  void ReleaseSignalMask() override;
  void GiveQuickIds(const platform::QuickIds& ids) override;
  void WillWait() override;
  pid_t host_tid() const override;
  pid_t host_pid() const override { return process_->pid(); }

  // Makes the object of a child, no host thread yet.
  ErrnoOr<Ref<Thread>> MakeChild(platform::CloneKind kind, platform::TrapHandler* handler,
                                 bool starts_stopped);
  // Answer: make the host thread of such a child. request.child_handler is not used.
  void SendClone(Ref<Thread> child, const platform::CloneRequest& request);

  // --- For the dispatcher. False: the stub does what an honest one never does. ---
  bool OnDoorbell(uint64_t id, stub::Event event);
  bool OnFetch(uint64_t id);
  // The answer to a posted event is long in coming: the stub sleeps in its doorbell, and this worker serves
  // the event if the one that watched is busy elsewhere.
  bool OnSleep(uint64_t id, uint64_t cycle);
  // Serves the event of a request that was claimed.
  bool OnPosted();
  // mmap or mremap: it happens if it is the next that was asked for.
  bool OnMapping(uint64_t id, const seccomp_data& data);
  bool OnClone(uint64_t id, const seccomp_data& data);
  // The host process exists and has said hello; a forked one by its first mapping.
  void Bind(pid_t tid, uint64_t hello_id);
  bool IsBirthMapping(const seccomp_data& data) const;
  // A thread of a process rings for the first time.
  void BindThread(pid_t tid);
  // The first thread of the first process: running, about to trap.
  void BindZygote(pid_t pid);

  // The host thread is no more: calls OnGone, the first time.
  void Gone(int host_status) ABSL_LOCKS_EXCLUDED(handler_mu_);
  // Gives a thread made in advance to its user; false if it is gone already.
  bool Adopt(platform::TrapHandler* handler) ABSL_LOCKS_EXCLUDED(handler_mu_);

  // For Rests: if the thread has waited in a doorbell since before `parked_before`, it leaves it, and its
  // answer comes by a futex. True: it has waited, but not so long.
  bool Rest(int64_t parked_before);

  // For HostProcess: the answer that Exit held back.
  void LeaveAtLast();
  // Its host thread sleeps in the doorbell of its exit and may become another one.
  bool idles() const { return idles_; }

  // --- For Watch. Arm: owner. ---
  pid_t bound_tid() const { return tid_.load(); }  // 0: its host thread has not been heard of yet
  CallHabit habit;
  // From the next answer on the stub posts instead of ringing.
  void Arm(int64_t now);
  // Takes a posted request, if there is one: true for one caller alone, who then owns the thread.
  bool ClaimIfPosted();
  int64_t armed_at() const { return armed_at_.load(std::memory_order_relaxed); }
  // From now on the stub rings. kClaimed: it has posted before, and the caller owns the thread.
  enum class Disarmed { kRings, kClaimed };
  Disarmed Disarm();
  std::atomic<bool> listed{false};  // Watch's
  HomeCores home_cores;             // Watch's, under its lock

  std::string Describe() const;  // for the log
  HostProcess& process() { return *process_; }
  platform::CloneKind kind() const { return kind_; }

 private:
  enum class State : int { kRunning, kStopped, kGone };
  enum class Pending { kNothing, kOps, kClone };
  // Clone onto the host thread of one that has ended.
  Ref<Thread> Adopt(const Thread& idle, const platform::CloneRequest& request);
  void SendAdoption(Thread& child, const platform::CloneRequest& request);
  void BecomeChild();
  void FillClone(const Thread& child, const platform::CloneRequest& request);
  bool BeginAnswer();
  void FinishAnswer(stub::Answer answer);
  void Deliver();
  void WriteRegisters();
  stub::Op Translate(const platform::HostOp& op);
  bool Stop();
  bool Serve(stub::Event event);
  bool OnTrapEvent(stub::Event event);
  bool OnOpsDone();
  bool OnBorn(uint64_t id);
  bool RunsAtBirth();
  bool AnswerHello(uint64_t id);
  void EndClone(bool failed);
  bool HasPosted() const;
  bool Claim(uint64_t cycle);
  void WatchNext();
  void RunsOn();
  void PlaceAnswer();
  void SendToSleeper();
  void WakeRested();

  Core* const core_;
  const Ref<HostProcess> process_;
  const uint32_t slot_;
  stub::Context* const context_;
  platform::CloneKind kind_ = platform::CloneKind::kFork;  // set once, before it is published
  const bool starts_stopped_;
  bool idles_ = false;           // set by Exit, before Gone
  bool traps_at_birth_ = false;  // CloneRequest::stop_child; fixed before the thread runs

  std::atomic<State> state_;
  std::atomic<pid_t> tid_{0};
  std::atomic<bool> interrupt_{false};  // asked for and not yet reported
  std::atomic<uint32_t> birth_;         // kBornBit, kAnsweredBit
  std::atomic<uint64_t> token_{0};

  Ref<ProgramMemory> memory_;  // of all threads and processes that share it
  platform::Registers regs_ = {};
  InlineWindow window_;
  uint64_t notif_id_ = 0;       // the doorbell in which the stub waits
  bool posted_ = false;         // it does not: it looks at Context::reply
  bool in_background_ = false;  // nobody waits for what it does: the zygote
  bool leaves_core_ = false;    // its answer is to wake it on another core: this worker will spin on this one
  int64_t answered_at_ = 0;
  uint64_t cycle_ = 0;              // of the last watch
  std::atomic<uint64_t> armed_{0};  // 2 * cycle + 1; + 1 once it is claimed
  std::atomic<int64_t> armed_at_{0};
  LongWait long_wait_;
  std::atomic<uint32_t> sleep_{0};  // kRang, kAnswered: whoever is second answers the sleeper; or kTold
  std::atomic<uint64_t> sleep_id_{0};

  stub::Answer answer_ = stub::Answer::kResume;
  Pending pending_ = Pending::kNothing;
  bool report_ = false;
  uint32_t op_count_ = 0;
  bool notifies_ = false, sleeps_ = false, fetches_ = false;  // how the operations end; asks for what is lent
  Lender lender_;
  ExpectedCalls expected_;
  std::array<uint64_t, 6> clone_args_ = {};
  bool clone_expected_ = false;
  Ref<Thread> child_;

  absl::Mutex handler_mu_;  // leaf lock; for changing the handler, not for calling it
  static constexpr uint32_t kRang = 1, kAnswered = 2, kTold = 4;  // sleep_; kTold: to rest
  std::atomic<platform::TrapHandler*> handler_;
  bool gone_ ABSL_GUARDED_BY(handler_mu_) = false;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_THREAD_H_
