#ifndef CLOISTER_SENTRY_TASK_PTRACE_H_
#define CLOISTER_SENTRY_TASK_PTRACE_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "base/error/errno_or.h"
#include "sentry/task/task.h"
#include "sentry/task/tracee.h"

namespace cloister::task {

// ptrace(2): who traces whom, and the stops of a tracee. Linux: kernel/ptrace.c and the parts of signal.c
// that it knows. The state is the tasks' own (Tracee); its lock is Kernel::tree_mu().
class Ptrace {
 public:
  // ---- For system calls: links ----
  static ErrnoOrVoid TraceMe(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static ErrnoOrVoid Attach(Task& tracer, Task& target, bool seize, uint32_t options)
      ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static ErrnoOrVoid CheckOptions(uint64_t options);

  // ---- For system calls: one tracee ----
  // Null where it is not tracer's. Stopped: only one that stands still and listens to no one else.
  static Task* FindLocked(Task& tracer, pid_t tid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static Task* FindStoppedLocked(Task& tracer, pid_t tid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static Tracee& StateLocked(Task& tracee) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // Of a stopped one that is not busy.
  static platform::Registers& RegistersLocked(Task& tracee) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static wait::Block BlockWhileBusyLocked(Task& tracee) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static signal::SignalSet MaskLocked(Task& tracee) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void SetMaskLocked(Task& tracee, signal::SignalSet mask)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // Pending signals, of the thread or the process.
  static const signal::PendingSignals& PendingLocked(Task& tracee, bool shared)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static ErrnoOrVoid SetDebugRegisterLocked(Task& tracee, int number, uint64_t value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void ResumeLocked(Task& tracee, TraceMode mode, bool step, int signo)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void DetachLocked(Task& tracee, int signo) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // kIo where it was not seized.
  static ErrnoOrVoid InterruptLocked(Task& tracee) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static ErrnoOrVoid ListenLocked(Task& tracee) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());

  // ---- For wait4(2) ----
  struct Report {
    Ref<ThreadGroup> group;
    pid_t tid = 0;
    uid_t uid = 0;
    bool ended = false;
    int cause = 0;   // CLD_… of a stop
    int status = 0;  // ended: wait(2)'s; else the code of the stop
  };
  using Wanted = absl::FunctionRef<bool(pid_t tid, const ThreadGroup& group)>;
  // What there is to tell of tracer's tracees. *any: there is one that may have something to tell.
  static bool TakeReportLocked(Task& tracer, Wanted wanted, int options, Report* report, bool* any)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // Whether a tracer in `group` hears of the process' stops, so that its parent's wait(2) does not.
  static bool TracedByLocked(const ThreadGroup& process, const ThreadGroup& group)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());

  // ---- For Task (owner). True: the task is given away; it goes on by itself. ----
  static bool StopAtSyscallEntry(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static bool StopAtSyscallExit(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static bool StopAtHandler(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  // Its breakpoints, before it runs on; after a step. False: there is nothing to tell of the step.
  static void RememberWatched(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static bool TellsOfStep(Task& task, siginfo_t* info) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static bool StopAtExit(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static bool StopForEvent(Task& task, int event, uint64_t message, AfterStop then)
      ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  // Whether execve(2) may not gain privileges.
  static bool TracerIsUntrusted(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static void AfterExec(Task& task, pid_t old_tid) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  // Woken in a stop, or an errand was done there.
  static void OnWake(Task& task);
  // A stop that TakeWork has entered. True: given away.
  static bool Wait(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  // What it went on with: a signal to act on, or none.
  static std::optional<siginfo_t> TakeInjected(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());

  // ---- For Task (tree) ----
  static bool HasTrapLocked(const Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void EnterTrapLocked(Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void EnterSignalLocked(Task& task, const siginfo_t& info)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // SIGCONT has come, or a group stop begins.
  static void NotifyLocked(Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // The event that a clone reports, or 0.
  static int CloneEventLocked(const Task& parent, uint64_t flags, int exit_signal)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void LinkChildLocked(Task& parent, Task& child) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // Whether a tracer wants to look at a task of it before it ends.
  static bool SeesExitLocked(const ThreadGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // A further SIGKILL, or its process ends: ends the stop of PTRACE_EVENT_EXIT.
  static void ReleaseEndingLocked(Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // The task ends, as tracee and as tracer; wait_status is its own.
  static void EndLocked(Task& task, int wait_status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  // The process has become a zombie. True: its tracer is to wait for it before its parent hears of it.
  static bool HideZombieLocked(ThreadGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());

 private:
  static void LinkLocked(Task& tracer, Task& tracee) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void UnlinkLocked(Task& tracee) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void EnterLocked(Task& task, const TraceStop& stop, AfterStop then)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static bool Stop(Task& task, const TraceStop& stop, AfterStop then) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static bool StopAtSyscall(Task& task, uint64_t message, AfterStop then)
      ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  enum class Look { kStay, kGoOn, kErrand };
  static Look LookLocked(Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void GoOn(Task& task);
  static void Inject(Task& task);
  static void EndTraceesLocked(Task& tracer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void AddCorpseLocked(Task& tracer, Corpse corpse) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void DropCorpseLocked(const Corpse& corpse) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_PTRACE_H_
