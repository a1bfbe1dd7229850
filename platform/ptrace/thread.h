#ifndef CLOISTER_PLATFORM_PTRACE_THREAD_H_
#define CLOISTER_PLATFORM_PTRACE_THREAD_H_

#include <atomic>
#include <optional>

#include "absl/container/inlined_vector.h"
#include "platform/api/guest_thread.h"
#include "platform/ptrace/process.h"
#include "platform/ptrace/tracee.h"

namespace cloister::ptrace {

class Tracer;

// A guest thread and the host thread that runs it, which is stopped by ptrace(2) whenever it is not running.
// What its owner answers is put down here and ordered of the tracer, which alone carries it out.
class Thread final : public platform::GuestThread {
 public:
  enum class Birth {
    kRuns,     // on its own as soon as it exists
    kStopped,  // it is its owner's from the start: NewProcess, the zygote
    kReports,  // kOpsDone is its first event: CloneRequest::stop_child
  };
  Thread(Tracer* tracer, Ref<Process> process, platform::TrapHandler* handler, Birth birth);

  platform::Registers& regs() override { return regs_; }
  platform::AddressSpace& address_space() override { return *space_; }
  void Resume() override;
  void RunOps(std::span<const platform::HostOp> ops, platform::AfterOps after) override;
  ErrnoOr<Ref<platform::GuestThread>> Clone(const platform::CloneRequest& request) override;
  bool MayStartAfresh() override { return process_->IsAlone(*this); }
  void LeaveMemory() override;
  void Exit() override;
  void Interrupt() override;
  void KillProcess() override { process_->Kill(); }
  pid_t host_tid() const override { return tid_.load(); }
  pid_t host_pid() const override { return process_->pid(); }

  Process& process() { return *process_; }

  // ---- The tracer's thread ----
  void CarryOut();
  void GoOn() { RunNextOp(); }
  // FileSender's: it is this thread's turn.
  void HasTurn();
  // The zygote's answer: makes child, a new process, and reports.
  void Fork(const Ref<Thread>& child);

  // Its first stop.
  void OnBirth(pid_t tid, const platform::Registers& regs);
  // A stop, as waitid(2) tells it.
  void OnStop(int status);
  // It is no more; the last call. host_status is OnGone's.
  void Gone(int host_status);

 private:
  enum class State : uint32_t { kRunning, kStopped, kGone };  // whose it is
  enum class Answer { kResume, kOps, kClone, kExit };
  // What the host thread does.
  enum class Activity { kUnborn, kNothing, kGuest, kOps, kClone, kExit };

  bool BeginAnswer();
  void Give(Answer answer);
  Tracee tracee() const { return Tracee(tid_.load()); }

  void Report(const platform::Trap& trap);
  void ReportFault(const platform::Fault& fault);
  void RunGuest();
  void ResumeAt(uint64_t rip, platform::Registers regs, Activity activity);

  void OnGuestStop(int status);
  void OnGuestCall();
  void OnGuestSignal();
  void OnHostStop(int status);
  void Leave();
  std::optional<int64_t> HostResult(int signo);

  void RunNextOp();
  std::optional<int64_t> RunHere(const platform::HostOp& op);
  int64_t ArchPrctl(const platform::HostOp& op);
  int64_t StoreFpState(uint64_t addr);
  int64_t LoadFpState(uint64_t addr);
  int64_t StartAfresh();
  std::optional<int64_t> StartFileMmap(const platform::HostOp& op);
  void Inject(const platform::HostOp& op);
  void OnOpResult(int64_t result);
  bool TakeResult(int64_t result);
  void EndOps(int64_t result);

  void StartClone();
  void OnCloneResult(int64_t result);
  void GiveUpChild();

  Tracer* const tracer_;
  const Ref<Process> process_;
  platform::TrapHandler* const handler_;
  const Birth birth_;
  Ref<Space> space_;  // owner

  std::atomic<State> state_;
  std::atomic<pid_t> tid_{0};
  std::atomic<bool> interrupt_{false};   // asked for and not yet reported
  std::atomic<bool> runs_guest_{false};  // so an interrupt takes a signal

  // The owner's, and the tracer's from an answer to the next report.
  platform::Registers regs_ = {};
  Answer answer_ = Answer::kResume;
  absl::InlinedVector<platform::HostOp, 4> ops_;
  platform::AfterOps after_ = platform::AfterOps::kResume;
  platform::CloneKind kind_ = platform::CloneKind::kFork;  // of child_
  Ref<Thread> child_;
  bool is_process_ = true;       // its host thread is the first of its process; fixed before it is born
  std::optional<uint64_t> tls_;  // FS base to begin with

  // The tracer's.
  Activity activity_ = Activity::kUnborn;
  bool answered_unborn_ = false;
  bool gone_ = false;
  bool bad_fp_ = false;             // the guest faults instead of running on
  platform::Registers bases_ = {};  // of the last stop: FS, GS and the selectors are the host's own here
  uint32_t ops_run_ = 0;
  int64_t last_result_ = 0;
  uint64_t token_ = 0;  // until it is born
};

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_THREAD_H_
