#ifndef CLOISTER_SENTRY_TASK_THREAD_GROUP_H_
#define CLOISTER_SENTRY_TASK_THREAD_GROUP_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "sentry/signal/pending_signals.h"
#include "sentry/signal/signal_actions.h"
#include "sentry/task/session.h"
#include "sentry/vfs/path.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::task {

class Kernel;
class ProcessTimers;
class Task;

// A process: the tasks made with CLONE_THREAD. Linux: struct signal_struct and the leader's
// task_struct. Kept by its tasks, its parent (until it is waited for) and the pid table.
//
// Fields marked "tree" are guarded by Kernel::tree_mu().
class ThreadGroup : public RefCounted {
 public:
  ThreadGroup(Kernel& kernel, pid_t pid, Ref<signal::SignalActions> actions);
  ~ThreadGroup() override;

  Kernel& kernel() const { return kernel_; }
  pid_t pid() const { return pid_; }

  // setrlimit(2). Thread-safe.
  rlimit Limit(int resource) const ABSL_LOCKS_EXCLUDED(limits_mu_);
  void SetLimit(int resource, rlimit limit) ABSL_LOCKS_EXCLUDED(limits_mu_);
  std::array<rlimit, RLIM_NLIMITS> Limits() const ABSL_LOCKS_EXCLUDED(limits_mu_);

  // Bytes of memory in use: the size of its mappings, an upper bound.
  uint64_t ResidentBytes() const;

  // Interval and POSIX timers; made on first use.
  ProcessTimers& timers() ABSL_LOCKS_EXCLUDED(timers_mu_);
  ProcessTimers* timers_if_any() ABSL_LOCKS_EXCLUDED(timers_mu_);
  // A signal has left the queues: a timer that sent it goes on, and its overruns are put in.
  void TellTimersOfTaken(siginfo_t& info) ABSL_LOCKS_EXCLUDED(timers_mu_);

  // Tree: family.
  ThreadGroup* parent = nullptr;           // null: the sandbox itself (init of a container, exec'd)
  std::vector<Ref<ThreadGroup>> children;  // living and zombies
  std::vector<Task*> tasks;                // living threads, the leader first while it lives
  Ref<ProcessGroup> process_group;
  bool is_subreaper = false;       // PR_SET_CHILD_SUBREAPER
  bool is_container_init = false;  // signals without a handler do not hurt it from inside
  int exit_signal = SIGCHLD;       // what the parent gets; 0: none
  bool has_execed = false;         // setpgid by the parent is refused from then on
  pid_t maker_tid = 0;             // the parent's thread that made it: PTRACE_TRACEME

  // Tree: life and death.
  enum class State { kRunning, kExiting, kZombie, kReaped };
  State state = State::kRunning;
  uid_t uid = 0;                  // real uid of the leader, for siginfo; kept at setuid and fork
  int wait_status = 0;            // kExiting: what every task ends with; kZombie: for wait(2)
  Task* exec_task = nullptr;      // a task waits here for the others to end
  rusage own_usage = {};          // of ended threads
  Task* leader_tracer = nullptr;  // the leader has ended traced: who waits for it first
  bool keep_zombie = false;       // it was traced by its parent: not reaped by an ignored SIGCHLD
  rusage children_usage = {};     // of children waited for

  // Tree: job control.
  enum class Stop { kNone, kStopping, kStopped };
  Stop stop = Stop::kNone;
  int stop_signal = 0;
  int stopped_tasks = 0;
  bool stop_reported = true;      // wait(WUNTRACED) has seen it
  bool continue_reported = true;  // wait(WCONTINUED) has seen it

  // Tree: signals for the process as a whole.
  signal::PendingSignals pending;

  // Notified when a child changes state (kIn): wait4(2) of any of its tasks.
  wait::WaitQueue child_queue;
  // Notified when one of its tasks ends (kIn), and when it becomes a zombie (kHup): pidfd, execve(2).
  wait::WaitQueue exit_queue;

  // Notified (kIn) when a signal is queued for it or for one of its tasks: signalfd(2).
  wait::WaitQueue signal_queue;

  // Shared table of actions; replaced at execve(2) under tree_mu.
  Ref<signal::SignalActions> actions;

  // Tree: told once with the wait status when the process has ended (exec and init of a container).
  std::function<void(int wait_status)> on_exit;

  std::string container_id;   // immutable after creation
  int64_t start_time_ns = 0;  // CLOCK_MONOTONIC; immutable
  std::atomic<int> oom_score_adj{0};
  std::atomic<uint32_t> coredump_filter{0x33};
  // Whether a debugger has or had it, or one of its ancestors: its code is then to be left as it is.
  std::atomic<bool> was_traced{false};

 private:
  Kernel& kernel_;
  const pid_t pid_;
  mutable absl::Mutex limits_mu_;  // leaf
  std::array<rlimit, RLIM_NLIMITS> limits_ ABSL_GUARDED_BY(limits_mu_);
  absl::Mutex timers_mu_;  // leaf: guards the making of timers_
  std::unique_ptr<ProcessTimers> timers_ ABSL_GUARDED_BY(timers_mu_);
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_THREAD_GROUP_H_
