#ifndef CLOISTER_SENTRY_TASK_TASK_H_
#define CLOISTER_SENTRY_TASK_TASK_H_

#include <signal.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "platform/api/guest_thread.h"
#include "sentry/auth/credentials.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/signal/pending_signals.h"
#include "sentry/signal/signal_frame.h"
#include "sentry/task/fs_context.h"
#include "sentry/task/kernel.h"
#include "sentry/task/outcome.h"
#include "sentry/task/running_call.h"
#include "sentry/task/syscall_args.h"
#include "sentry/task/thread_group.h"
#include "sentry/usermem/user_buffer.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/fd_table.h"
#include "sentry/wait/parker.h"

namespace cloister::task {

struct ExecState;

// A thread of the guest. Linux: struct task_struct.
// References: one for life (dropped by Die) and one for each GuestThread (dropped by OnGone).
//
// At any moment one of these owns it: the host (the guest runs), a worker (its trap is being
// served), or nobody (it is parked or stopped; whoever wakes it becomes the worker). What is
// marked "owner" is for the owner alone and needs no lock.
class Task final : public RefCounted, public platform::TrapHandler, private wait::Parker {
 public:
  Kernel& kernel() const { return group_->kernel(); }
  ThreadGroup& group() const { return *group_; }
  pid_t tid() const { return tid_.load(std::memory_order_relaxed); }
  pid_t pid() const { return group_->pid(); }

  // ---- For syscall handlers (owner) ----

  usermem::AddressSpace& space() const { return mm_->space(); }
  mm::MemoryManager& mm() const { return *mm_; }
  vfs::FdTable& files() const { return *files_; }
  FsContext& fs() const { return *fs_; }
  const auth::CredRef& cred() const { return cred_; }
  void SetCred(auth::CredRef cred) ABSL_LOCKS_EXCLUDED(own_mu_);
  rlimit Limit(int resource) const { return group_->Limit(resource); }

  // The VFS' view of this task.
  vfs::Caller MakeCaller() const;
  // Where `path` begins: cwd for AT_FDCWD or an absolute path, else the directory dirfd (kBadf, kNotDir when
  // path is not empty).
  ErrnoOr<vfs::Path> StartOf(int dirfd, std::string_view path) const;

  // An open file that may be used for I/O; kBadf for O_PATH ones.
  ErrnoOr<Ref<vfs::FileDescription>> GetFile(int fd) const;
  // Any open file, O_PATH included.
  ErrnoOr<Ref<vfs::FileDescription>> GetAnyFile(int fd) const { return files_->Get(fd); }
  // The lowest free descriptor within RLIMIT_NOFILE.
  ErrnoOr<int> InstallFile(Ref<vfs::FileDescription> file, bool cloexec) const;

  // A range of guest memory for one read or write: kFault where it leaves the address space.
  ErrnoOr<usermem::UserBuffer> Buffer(uint64_t addr, uint64_t size) const;
  // An iovec array of at most 1024 entries (kInval), as readv(2) takes it.
  ErrnoOr<usermem::UserBuffer> BufferOfIovec(uint64_t iov, uint64_t count) const;

  template <typename T>
  ErrnoOr<std::remove_const_t<T>> CopyIn(usermem::UserPtr<T> from) const {
    return usermem::CopyIn(space(), from);
  }
  template <typename T>
  ErrnoOrVoid CopyOut(usermem::UserPtr<T> to, const std::type_identity_t<T>& value) const {
    return usermem::CopyOut(space(), to, value);
  }
  ErrnoOr<std::string> CopyInPath(uint64_t addr) const { return usermem::CopyInPath(space(), addr); }

  // unshare(2) of CLONE_FS and CLONE_FILES.
  void Unshare(bool fs, bool files) ABSL_LOCKS_EXCLUDED(own_mu_);

  // mmap(2) and its kin: one operation at a time on memory that several tasks use. False while
  // another task has it under way: answer MemoryOpBlock() from Step and try again. Taken, it is given
  // back when the RunPlan, CloneControl or plain Answer of the call has been carried out.
  bool TakeMemoryOp();
  Block MemoryOpBlock() const;

  // The registers at the trap (owner, while a syscall is served).
  platform::Registers& regs() { return thread_->regs(); }

  // ---- Signals ----

  signal::SignalSet signal_mask() const { return mask_; }  // owner
  // Replaces the mask (SIGKILL and SIGSTOP never get in) and looks for what is now unblocked. Owner.
  void SetSignalMask(signal::SignalSet mask) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // For ppoll, pselect, sigsuspend, epoll_pwait: `mask` while the call is parked; the old mask comes back
  // when the call ends, or after the handler of the signal that ended it. Owner; before Block is answered.
  void SetTemporaryMask(signal::SignalSet mask) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  signal::AltStack alt_stack;  // owner

  // Whether the process' group has no member with a parent outside it in the same session: terminal
  // stop signals do nothing there. tree_mu held.
  static bool OrphanedGroupLocked(ThreadGroup& group);

  // A process that was created and never released: a fatal signal from outside ends it. tree_mu held.
  static void EndHeldLocked(ThreadGroup& group, int signo);
  // A zombie leaves every table: wait4(2) has its status. tree_mu held.
  static void ReapLocked(ThreadGroup& group);

  // Queues a signal for this thread alone, or for its process. False: it was ignored or dropped.
  bool SendToThread(const siginfo_t& info) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  bool SendToThreadLocked(const siginfo_t& info) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  static bool SendToGroupLocked(ThreadGroup& group, const siginfo_t& info);  // tree_mu held
  // A signal of the kernel's own to this thread: SIGPIPE, SIGXFSZ (SI_KERNEL … as Linux marks them).
  void Raise(int signo) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // A fault: cannot be blocked or ignored; then it kills. Owner.
  void ForceSignal(const siginfo_t& info) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // Takes a pending signal of `wanted`, of the thread or the process: sigtimedwait(2), signalfd(2). Owner or
  // signalfd.
  std::optional<siginfo_t> TakeSignal(signal::SignalSet wanted) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // Forgets pending signals of the whole process: sigaction(2) with an action that ignores them.
  void DiscardPending(signal::SignalSet set) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // sigpending(2): blocked ones that wait.
  signal::SignalSet PendingSet() ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // /proc/PID/status SigPnd: this thread's own.
  signal::SignalSet OwnPendingSet() ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  // Notified (kIn) when a signal is queued for this task or its process: signalfd, sigtimedwait.
  wait::WaitQueue& signal_queue() { return signal_queue_; }
  // A signal is to be delivered or the task is to end: long loops should stop. Any thread.
  bool interrupted() const { return work_pending_.load(std::memory_order_acquire); }

  // ---- What the other threads may ask ----

  // prctl(PR_SET_NAME), /proc/PID/comm: at most 15 bytes.
  std::string name() const ABSL_LOCKS_EXCLUDED(own_mu_);
  void SetName(std::string_view name) ABSL_LOCKS_EXCLUDED(own_mu_);
  // The parts, safe from any thread; null when the task has let go of them (it ends).
  Ref<mm::MemoryManager> GetMm() const ABSL_LOCKS_EXCLUDED(own_mu_);
  Ref<vfs::FdTable> GetFiles() const ABSL_LOCKS_EXCLUDED(own_mu_);
  Ref<FsContext> GetFs() const ABSL_LOCKS_EXCLUDED(own_mu_);
  auth::CredRef GetCred() const ABSL_LOCKS_EXCLUDED(own_mu_);
  vfs::Path GetExe() const ABSL_LOCKS_EXCLUDED(own_mu_);
  // 'R', 'S', 'D', 'T', 'Z' of /proc/PID/stat.
  char StateLetter() const;
  // The syscall that it is parked in, or -1.
  int parked_syscall() const { return parked_syscall_.load(std::memory_order_relaxed); }
  pid_t host_tid() const ABSL_LOCKS_EXCLUDED(own_mu_);

  // ---- set_tid_address(2), robust lists, prctl(2) (owner) ----
  uint64_t clear_child_tid = 0;
  uint64_t robust_list = 0;
  int parent_death_signal = 0;  // PR_SET_PDEATHSIG
  uint64_t timer_slack_ns = 50'000;
  bool dumpable = true;
  int io_priority = 0;
  std::atomic<int> nice{0};

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
  friend class Kernel;
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);

  enum class Owner : uint32_t { kGuest, kSentry, kDead };
  // What a stopped thread's RunOps is for.
  enum class AfterOps {
    kNothing,
    kPlan,
    kReturnValue,
    kExecStep,
    kSignalFrame,
    kSigreturn,
    kClone,
    kForkChild
  };

  Task(Ref<ThreadGroup> group, pid_t tid);
  ~Task() override;

  // task_dispatch.cc: from trap to answer. Each runs with the task owned and gives it away.
  void ServeSyscall();
  void Finish(Outcome outcome);
  void FinishPlan(RunPlan run);
  void ParkOn(const Block& block);
  void StepParked();
  void EndWait();  // lets go of what the wait was on
  void EndCall(Answer answer);
  void ReturnToGuest();
  void ResumeGuest();
  void RunOps(AfterOps after, std::span<const platform::HostOp> ops);
  void OnOpsDone(const platform::Trap& trap);
  void OnWake() override;
  void ReleaseMemoryOp();

  // signal_delivery.cc.
  enum class Delivery { kNone, kGivenAway };
  // Serves what work_pending_ stands for. kGivenAway: the task has ended, is parked or runs operations.
  Delivery DoPendingWork();
  bool DeliverToHandler(const siginfo_t& info, const signal::Action& action);
  void SettleRestart(const signal::Action* action);
  enum class NextWork { kNothing, kDie, kStandStill, kSignal };
  NextWork TakeWork(siginfo_t* info) ABSL_LOCKS_EXCLUDED(kernel().tree_mu());
  Delivery TakeSignalAction(const siginfo_t& info);
  void Sigreturn();
  bool ShouldStandStillLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void BeginGroupStopLocked(int signo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  bool SignalToDeliver() ABSL_LOCKS_EXCLUDED(kernel().tree_mu());

  // signal_send.cc.
  static void WakeForSignalLocked(ThreadGroup& group, Task* only, const siginfo_t& info);
  void UpdateWorkPendingLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void DiscardPendingLocked(signal::SignalSet set) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  static void ContinueGroupLocked(ThreadGroup& group, bool report);
  static void NotifyParentLocked(ThreadGroup& group, int code, int status);
  void MarkWorkLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void Kick();

  // clone.cc, exec.cc, exit.cc.
  void Clone(const CloneControl& control);
  Ref<Task> MakeChildLocked(const CloneControl& control, pid_t tid)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());
  void ShareParts(const CloneControl& control, Task& child, std::vector<platform::HostOp>* first_ops);
  void StartChild(const CloneControl& control, Ref<Task> child, platform::CloneRequest& request);
  void FinishClone(const platform::Trap& trap);
  void FinishForkChild(const platform::Trap& trap);
  void Exec(ExecControl control);
  void ExecStep(const platform::Trap* trap);
  void SwitchImage(Ref<platform::GuestThread> thread, Ref<mm::MemoryManager> mm);
  // The process ends with wait_status. from: the calling task, which ends by itself; null: none of its tasks
  // calls.
  static void BeginGroupExitLocked(ThreadGroup& group, int wait_status, Task* from);
  void Exit(int wait_status, bool group);
  void Die();
  void LeaveMemory();
  void NotifyVforkParent();
  Ref<vfs::FdTable> UnshareFiles() ABSL_LOCKS_EXCLUDED(own_mu_);
  static void ReparentChildrenLocked(ThreadGroup& group);
  static void LeaveSessionLocked(ThreadGroup& group);
  static void EndOfProcessLocked(ThreadGroup& group);
  void LeaveGroupLocked(int wait_status, uint64_t cpu_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel().tree_mu());

  const Ref<ThreadGroup> group_;
  std::atomic<pid_t> tid_;  // changes once, when a thread that is not the leader calls execve(2)

  // Owner. Others read them through the Get… functions; changed under own_mu_ too.
  Ref<mm::MemoryManager> mm_;
  Ref<vfs::FdTable> files_;
  Ref<FsContext> fs_;
  auth::CredRef cred_;
  vfs::Path exe_;
  Ref<platform::GuestThread> thread_;
  std::string name_;
  mutable absl::Mutex own_mu_;

  std::atomic<Owner> owner_{Owner::kSentry};
  std::atomic<bool> host_gone_{false};

  // Owner: the call under way.
  SyscallArgs args_;
  std::unique_ptr<RunningCall> call_;
  Block block_;
  std::atomic<int> parked_syscall_{-1};
  AfterOps after_ops_ = AfterOps::kNothing;
  mm::Plan plan_;  // under way
  bool holds_memory_op_ = false;
  std::unique_ptr<ExecState> exec_;
  Ref<Task> clone_child_;                          // made, its parent not yet told
  bool clone_waits_ = false;                       // vfork
  uint64_t born_tid_addr_ = 0;                     // CLONE_CHILD_SETTID of a forked child
  std::shared_ptr<loader::Program> held_program_;  // Kernel::CreateProcess: not released yet
  int exit_status_ = 0;
  platform::Fault last_fault_;

  // Owner writes, under tree_mu; others read under tree_mu.
  signal::SignalSet mask_;
  std::optional<signal::SignalSet> saved_mask_;  // what comes back after a temporary mask
  signal::PendingSignals pending_ ABSL_GUARDED_BY(group_->kernel().tree_mu());
  std::atomic<bool> stopped_{false};  // counted in group().stopped_tasks; changed under tree_mu
  bool killed_ = false;               // must end; tree_mu
  bool vfork_shares_ = false;         // runs on the memory of a parent that waits (owner)
  std::atomic<bool> vfork_done_{false};
  std::atomic<bool> work_pending_{false};
  wait::WaitQueue signal_queue_;
  wait::WaitQueue vfork_queue_;
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_TASK_H_
