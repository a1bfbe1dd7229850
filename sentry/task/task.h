#ifndef CLOISTER_SENTRY_TASK_TASK_H_
#define CLOISTER_SENTRY_TASK_TASK_H_

#include <signal.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/own/ref.h"
#include "platform/api/guest_thread.h"
#include "sentry/task/after_ops.h"
#include "sentry/task/running_call.h"
#include "sentry/task/syscall_args.h"
#include "sentry/task/task_signals.h"
#include "sentry/wait/parker.h"

namespace cloister::task {

struct ExecState;

// A thread of the guest. Linux: struct task_struct.
// References: one for life (dropped by Die) and one for each GuestThread (dropped by OnGone).
//
// At any moment one of these owns it: the host (the guest runs), a worker (its trap is being
// served), or nobody (it is parked or stopped; whoever wakes it becomes the worker). What is
// marked "owner" is for the owner alone and needs no lock.
class Task final : public RefCounted, public TaskSignals, public platform::TrapHandler, private wait::Parker {
 public:
  // No member of the group has a parent outside it in the session: terminal stop signals do nothing there.
  static bool OrphanedGroupLocked(ThreadGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // A process that was created and never released: a fatal signal from outside ends it.
  static void EndHeldLocked(ThreadGroup& group, int signo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // A zombie leaves every table: wait4(2) has its status.
  static void ReapLocked(ThreadGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());

  // The mask at this moment, for anyone.
  signal::SignalSet BlockedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  // Queues a signal for this thread alone, or for its process. False: it was ignored or dropped.
  bool SendToThread(const siginfo_t& info) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  bool SendToThreadLocked(const siginfo_t& info) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  static bool SendToGroupLocked(ThreadGroup& group, const siginfo_t& info)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // Interrupts it if it takes one of `waiting`, which pend for its process. tree_mu held.
  void LookForSignalsLocked(signal::SignalSet waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  // A signal of the kernel's own to this thread: SIGPIPE, SIGXFSZ (SI_KERNEL … as Linux marks them).
  void Raise(int signo) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // A fault: cannot be blocked or ignored; then it kills. Owner.
  void ForceSignal(const siginfo_t& info) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());

  // 'R', 'S', 'D', 'T', 'Z' of /proc/PID/stat.
  char StateLetter() const;
  // The syscall that it is parked in, or -1.
  int parked_syscall() const { return parked_syscall_.load(std::memory_order_relaxed); }
  uint64_t GetRobustList() const ABSL_LOCKS_EXCLUDED(own_mu_);

  // The call of the last ERESTART_RESTARTBLOCK, for restart_syscall(2). Owner.
  std::unique_ptr<RunningCall> restart_call;

  // platform::TrapHandler.
  void OnTrap(platform::GuestThread& thread, const platform::Trap& trap) override;
  void OnBorn(platform::GuestThread& thread) override;
  void OnGone(platform::GuestThread& thread, int host_status) override;

  // A child or thread whose vfork(2) parent waits for it has left the parent's memory (kIn).
  wait::WaitQueue& vfork_queue() { return vfork_queue_; }
  bool vfork_done() const { return vfork_done_.load(std::memory_order_acquire); }

  // execve(2): true when this is the only task of its process; else asks the others to end, and
  // the caller waits on group().exit_queue. Linux: de_thread.
  bool AloneForExec() ABSL_LOCKS_EXCLUDED(kernel().tree_mu());

 private:
  friend class Errands;
  friend class Kernel;
  friend class Ptrace;
  friend class Seccomp;
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);

  enum class Owner : uint32_t { kGuest, kSentry, kDead };
  Task(Ref<ThreadGroup> group, pid_t tid);
  ~Task() override;

  // task_dispatch.cc: from trap to answer. Each runs with the task owned and gives it away.
  void ServeSyscall();
  void RunSyscall();
  void Dispatch();
  void Finish(Outcome outcome);
  void FinishPlan(RunPlan run);
  void FinishHostRead(ReadHostFile read);
  void OnHostRead(const platform::Trap& trap);
  void ParkOn(const Block& block);
  void StepParked();
  void EndWait();  // lets go of what the wait was on
  void EndCall(Answer answer);
  void LeaveSyscall();  // the result is in the registers
  void AfterSyscall();
  void ReturnToGuest();
  void ResumeGuest();
  void RunOps(AfterOps after, std::span<const platform::HostOp> ops,
              platform::AfterOps then = platform::AfterOps::kReport);
  bool MustSeeEnd() const;  // of the operations of a call that could resume the guest
  void OnOpsDone(const platform::Trap& trap);
  void OnWake() override;
  bool ParkThread();               // Parker::Park, told to the platform
  bool StartPatch(uint64_t site);  // before its call is served; false: it is not to be
  // quick_calls.cc: what the guest settles without a trap.
  void TakeQuickState();
  void GiveQuickIdsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void GiveQuickState(const seccomp::Filter* filters) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // From here on the host owns it: the answer to `thread`, its own, follows.
  void HandToGuest(platform::GuestThread& thread) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());

  // signal_delivery.cc.
  enum class Delivery { kNone, kGivenAway };
  // Serves what work_pending_ stands for. kGivenAway: the task has ended, is parked or runs operations.
  Delivery DoPendingWork();
  bool DeliverToHandler(const siginfo_t& info, const signal::Action& action);
  void SettleRestart(const signal::Action* action);
  enum class NextWork { kNothing, kDie, kStandStill, kSignal, kTraced, kErrand };
  NextWork TakeWork(siginfo_t* info) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  Delivery TakeSignalAction(const siginfo_t& info);
  void Sigreturn();
  bool ShouldStandStillLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void JoinGroupStopLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void BeginGroupStopLocked(int signo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  bool SignalToDeliver() ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // signal_send.cc.
  static void WakeForSignalLocked(ThreadGroup& group, Task* only, const siginfo_t& info)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void ContinueGroupLocked(ThreadGroup& group, bool report)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void NotifyParentLocked(ThreadGroup& group, int code, int status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  void MarkWorkLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void Kick();

  // clone.cc, exec.cc, exit.cc.
  void Clone(const CloneControl& control);
  ErrnoOr<int> ReservePidFd(uint64_t told_at);
  void PutPidFd(int fd, Task& child);
  Ref<Task> MakeChildLocked(const CloneControl& control, pid_t tid)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void ShareParts(const CloneControl& control, Task& child, std::vector<platform::HostOp>* first_ops);
  void StartChild(const CloneControl& control, Ref<Task> child, platform::CloneRequest& request);
  void FinishClone(const platform::Trap& trap);
  void EndClone();
  void FinishForkChild(const platform::Trap& trap);
  void Exec(ExecControl control);
  void CommitExec();
  void ExecStep(const platform::Trap* trap);
  bool MayExecInPlace(const auth::ExecResult& privileges);
  ErrnoOr<Ref<platform::GuestThread>> ThreadForExec(const auth::ExecResult& privileges);
  void SwitchImage(Ref<platform::GuestThread> thread, Ref<mm::MemoryManager> mm);
  // The process ends with wait_status. from: the calling task, which ends by itself; may be null.
  static void BeginGroupExitLocked(ThreadGroup& group, int wait_status, Task* from)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  void Exit(int wait_status, bool group);
  void End();    // its tracer may look at it once more
  void Leave();  // who waits for its words is woken
  void Die();
  bool WakeLast();  // true: operations are under way, after which OnLastWakes goes on
  void OnLastWakes(const platform::Trap& trap);
  void LeaveMemory();
  void NotifyVforkParent();
  static void ReparentChildrenLocked(ThreadGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void LeaveSessionLocked(ThreadGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void EndOfProcessLocked(ThreadGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  void LeaveGroupLocked(int wait_status, uint64_t cpu_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());

  std::atomic<Owner> owner_{Owner::kSentry};
  std::atomic<bool> host_gone_{false};

  // Owner: the call under way.
  SyscallArgs args_;
  std::unique_ptr<RunningCall> call_;
  Block block_;
  std::atomic<int> parked_syscall_{-1};
  AfterOps after_ops_ = AfterOps::kNothing;
  mm::Plan plan_;  // under way
  std::unique_ptr<ExecState> exec_;
  Ref<Task> clone_child_;                          // made, its parent not yet told
  bool clone_waits_ = false;                       // vfork
  uint64_t born_tid_addr_ = 0;                     // CLONE_CHILD_SETTID of a forked child
  std::shared_ptr<loader::Program> held_program_;  // Kernel::CreateProcess: not released yet
  int exit_status_ = 0;
  platform::Fault last_fault_;
  bool vfork_shares_ = false;  // runs on the memory of a parent that waits (owner)
  std::atomic<bool> vfork_done_{false};
  wait::WaitQueue vfork_queue_;
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_TASK_H_
