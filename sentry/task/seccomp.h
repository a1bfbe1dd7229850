#ifndef CLOISTER_SENTRY_TASK_SECCOMP_H_
#define CLOISTER_SENTRY_TASK_SECCOMP_H_

#include <linux/seccomp.h>

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "base/error/errno_or.h"
#include "sentry/seccomp/bpf_program.h"
#include "sentry/task/task.h"

namespace cloister::task {

// seccomp(2) of tasks: how they get filters, and what is done with a call that does not pass them. Linux:
// kernel/seccomp.c. The filters are TaskParts::filters, changed under Kernel::tree_mu().
class Seccomp {
 public:
  // ---- For system calls (owner) ----
  // SECCOMP_SET_MODE_STRICT. kInval where it has filters.
  static ErrnoOrVoid SetStrict(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  // SECCOMP_SET_MODE_FILTER; flags are SECCOMP_FILTER_FLAG_…, checked. 0, or with TSYNC the id of a thread
  // that has filters of its own, and nothing is changed then. listener: the NEW_LISTENER's, or null.
  static ErrnoOr<pid_t> Install(Task& task, const seccomp::BpfProgram& program, uint64_t flags,
                                Ref<seccomp::Listener> listener) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());

  // ---- For Task (owner): a call that its filters may not let pass ----
  // True: it is answered or waits; the task has been given away. False: it is to be served.
  static bool Answers(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  // After PTRACE_EVENT_SECCOMP: the tracer may have made another call of it. Gives the task away.
  static void AfterTracer(Task& task) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());

 private:
  static bool Judge(Task& task, bool traced) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static void Fail(Task& task, uint32_t error);
  static void Trap(Task& task, const seccomp_data& data, uint32_t reason)
      ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static bool StopForTracer(Task& task, uint32_t message) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static void Kill(Task& task, bool process) ABSL_LOCKS_EXCLUDED(Kernel::tree_mu());
  static pid_t FindUnsyncableLocked(Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
  static void SyncThreadsLocked(Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu());
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_SECCOMP_H_
