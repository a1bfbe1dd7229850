#ifndef CLOISTER_PLATFORM_INPROC_INPROC_H_
#define CLOISTER_PLATFORM_INPROC_INPROC_H_

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "platform/api/platform.h"
#include "platform/inproc/space.h"

namespace cloister::inproc {

class Inproc;
struct Process;

// A guest thread that runs no instruction: a test says what it does (Syscall, Fault) and sees what
// it was answered. See platform::GuestThread for who may call what.
class Thread final : public platform::GuestThread {
 public:
  enum class State { kRunning, kStopped, kGone };

  // ---- For tests. The thread must be running; not from inside a handler. ----

  // Traps with a syscall and delivers all events. What it returned, or nothing if it is parked (or gone).
  std::optional<int64_t> Syscall(uint64_t number, std::initializer_list<uint64_t> args = {});
  // Traps with a fault.
  void Fault(const platform::Fault& fault);
  State state() const;
  uint64_t resumes() const;                   // how often Resume was the answer
  std::vector<platform::HostOp> ops() const;  // all that it was told to run
  Space& space() const;

  // ---- platform::GuestThread ----
  platform::Registers& regs() override { return regs_; }
  platform::AddressSpace& address_space() override { return space(); }
  void Resume() override;
  void RunOps(std::span<const platform::HostOp> ops, platform::AfterOps after) override;
  ErrnoOr<Ref<platform::GuestThread>> Clone(const platform::CloneRequest& request) override;
  void Exit() override;
  void Interrupt() override;
  void KillProcess() override;
  pid_t host_tid() const override { return id_; }
  pid_t host_pid() const override;

 private:
  friend class Inproc;
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);
  Thread(Inproc& platform, Ref<Process> process, platform::TrapHandler* handler, pid_t id);
  ~Thread() override;

  void Trap(const platform::Trap& trap);
  int64_t RunOne(const platform::HostOp& op);

  Inproc& platform_;
  const Ref<Process> process_;
  platform::TrapHandler* const handler_;
  const pid_t id_;
  platform::Registers regs_ = {};  // the owner's
  std::vector<std::byte> fp_;      // the owner's

  // Under the platform's lock.
  State state_ = State::kStopped;
  bool interrupt_pending_ = false;
  int events_ = 0;  // queued or being delivered
  uint64_t resumes_ = 0;
  std::vector<platform::HostOp> ops_;
};

// The platform for unit tests and fuzzing: guest memory is a buffer of this process, and there is no
// host process or thread. Events are delivered on the test's own thread, inside Thread::Syscall, Fault
// or Pump; where Start was called, also by one worker of its own.
class Inproc final : public platform::Platform {
 public:
  Inproc() = default;
  ~Inproc() override;

  absl::Status Start() override;
  ErrnoOr<Ref<platform::GuestThread>> NewProcess(platform::TrapHandler* handler) override;
  uint64_t task_size() const override { return kTaskSize; }
  uint64_t vdso_start() const override { return 0; }
  size_t fp_state_size() const override;

  // Delivers what is queued (interrupts, ends, operations done), until there is nothing.
  void Pump() { Drain(nullptr); }
  // Threads that are not gone, in the order of their making.
  std::vector<Ref<Thread>> Threads() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class Thread;
  struct Event {
    Ref<Thread> thread;
    platform::Trap trap;
    bool gone = false;
    int host_status = 0;
  };

  void PostLocked(Event event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndLocked(Thread& thread, int signo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Delivers events; with `own`, until none of that thread is queued or under way elsewhere.
  void Drain(Thread* own) ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverFirst() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Work();

  absl::Mutex mu_;  // leaf
  std::deque<Event> events_ ABSL_GUARDED_BY(mu_);
  std::vector<Ref<Thread>> live_ ABSL_GUARDED_BY(mu_);
  pid_t last_id_ ABSL_GUARDED_BY(mu_) = 1'000'000;  // no host's numbers
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread worker_;  // NOLINT(guarded): set by Start, joined at the end
};

}  // namespace cloister::inproc

#endif  // CLOISTER_PLATFORM_INPROC_INPROC_H_
