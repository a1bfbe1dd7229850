#ifndef CLOISTER_SENTRY_TASK_TRACEE_H_
#define CLOISTER_SENTRY_TASK_TRACEE_H_

#include <signal.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/own/ref.h"
#include "sentry/task/debug_registers.h"
#include "sentry/task/thread_group.h"

namespace cloister::task {

class Task;

// How far a tracee runs. PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SYSEMU.
enum class TraceMode { kCont, kSyscall, kSysemu };

// What a tracee was about to do when it stopped: it goes on with that.
enum class AfterStop {
  kNothing,
  kSyscallEntry,
  kSeccomp,
  kSyscallExit,
  kHandler,      // single step: the frame of a signal has been built
  kSignal,       // a signal is to be delivered
  kPendingWork,  // a group stop or PTRACE_INTERRUPT
  kClone,
  kVforkDone,
  kExec,
  kExit,
};

// What a stop tells the tracer.
struct TraceStop {
  int code = 0;  // the signal that wait(2) reports, with the event in its upper bits
  int cause = CLD_TRAPPED;
  uint64_t message = 0;           // PTRACE_GETEVENTMSG
  std::optional<siginfo_t> info;  // PTRACE_GETSIGINFO; none in a group stop
};

// Registers that only the stopped thread itself can tell: read when the tracer first asks.
struct ExtraRegisters {
  uint64_t fs_base = 0, gs_base = 0;
  std::vector<std::byte> fp;  // as platform::HostOp::StoreFpState gives it
};

// A task as one that is traced. Linux: ptrace, jobctl, last_siginfo and ptrace_message of struct
// task_struct. Guarded by Kernel::tree_mu().
struct Tracee {
  Task* tracer = nullptr;
  bool seized = false;
  bool tracer_is_capable = false;  // it had CAP_SYS_PTRACE when it attached
  uint32_t options = 0;            // PTRACE_O_…

  // The stop, while Task::trace_stopped().
  TraceStop stop;          // its code is 0 once wait(2) has told it
  bool listening = false;  // PTRACE_LISTEN
  bool ending = false;     // PTRACE_EVENT_EXIT: only a further SIGKILL ends the stop
  bool busy = false;       // it does an errand meanwhile: its registers are not to be touched
  int resume_signal = 0;   // what it goes on with
  std::optional<ExtraRegisters> extra;
  DebugRegisters debug;

  // Stops that are still to come. Linux: JOBCTL_TRAP_STOP and JOBCTL_TRAP_NOTIFY.
  bool trap_stop = false;
  bool trap_notify = false;
};

// What is left of a traced thread, or of a traced process with another parent, until its tracer has
// waited for it.
struct Corpse {
  Ref<ThreadGroup> group;
  pid_t tid = 0;
  int wait_status = 0;

  bool is_process() const { return tid == group->pid(); }
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_TRACEE_H_
