#ifndef CLOISTER_SENTRY_TASK_KERNEL_H_
#define CLOISTER_SENTRY_TASK_KERNEL_H_

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
#include "absl/container/btree_map.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "platform/api/platform.h"
#include "sentry/loader/loader.h"
#include "sentry/seccomp/filter.h"
#include "sentry/task/fs_context.h"
#include "sentry/task/outcome.h"
#include "sentry/task/session.h"
#include "sentry/vfs/fd_table.h"
#include "sentry/vfs/mount.h"

namespace cloister::ipc {
class IpcNamespace;
}

namespace cloister::task {

class RunningCall;
class SyscallArgs;
class Task;
class ThreadGroup;

// Serves one syscall of a task; set by sentry/syscalls. A handler that parks stores its call.
using Dispatcher = Outcome (*)(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>* parked);
// Called after each answered syscall if --strace is on.
using Tracer = void (*)(Task& task, const SyscallArgs& args, int64_t result);

// What the guest is told of its machine. Immutable after boot.
struct Machine {
  uint64_t total_memory = 0;  // bytes
  uint32_t cpus = 1;
  std::string cpu_vendor, cpu_model, cpu_flags;
  uint32_t cpu_family = 0, cpu_model_number = 0, cpu_stepping = 0, cpu_cache_kb = 0;
  double cpu_mhz = 0;
  std::array<std::byte, 16> boot_id = {};
  static constexpr const char* kSysname = "Linux";
  static constexpr const char* kRelease = "6.6.0-cloister";
  static constexpr const char* kVersion = "#1 SMP PREEMPT_DYNAMIC";
  static constexpr const char* kMachine = "x86_64";
};

// The whole of one sandbox: pids, the process tree, the machine. Linux: the kernel's globals.
//
// Lock order:
//   Kernel::tree_mu()            family, groups, sessions, stop and exit state, pending signals
//     Task::own_mu_              a task's pointers to its parts
//       SignalActions, ProcessTimers, limits, FsContext, FdTable, MemoryManager (leaves)
class Kernel {
 public:
  Kernel(std::unique_ptr<platform::Platform> platform, Machine machine, Dispatcher dispatcher);
  ~Kernel();

  platform::Platform& platform() const { return *platform_; }
  const Machine& machine() const { return machine_; }
  Dispatcher dispatcher() const { return dispatcher_; }
  Tracer tracer() const { return tracer_; }
  void SetTracer(Tracer tracer) { tracer_ = tracer; }

  // Linux: tasklist_lock and every sighand lock in one. Not taken by ordinary syscalls. A process has one
  // kernel; that the lock is static lets the thread-safety analysis know it by one name everywhere.
  static absl::Mutex& tree_mu() ABSL_LOCK_RETURNED(tree_mu_) { return tree_mu_; }

  // The task takes over its group's pid (execve by another thread than the leader).
  void RenameTaskLocked(Task& task, pid_t tid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  // A number that no task, process, process group or session has; kAgain when all 32767 are taken.
  ErrnoOr<pid_t> AllocatePidLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  // A process group or session by this number exists: it is not given to a new process.
  void HoldIdLocked(pid_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  void DropIdLocked(pid_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  void AddTaskLocked(Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  void RemoveTaskLocked(Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  void AddGroupLocked(ThreadGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  void RemoveGroupLocked(ThreadGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);  // at wait(2)

  // The init of a container: adopts orphans. Null when it has ended.
  ThreadGroup* InitOfLocked(const std::string& container_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  void ForgetInitLocked(const ThreadGroup& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);

  // Null where there is none. The task is alive; the group may be a zombie.
  Task* FindTaskLocked(pid_t tid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  ThreadGroup* FindGroupLocked(pid_t pid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  // All, ascending by pid, zombies included.
  std::vector<Ref<ThreadGroup>> Groups() ABSL_LOCKS_EXCLUDED(tree_mu_);
  std::vector<Ref<ThreadGroup>> GroupsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(tree_mu_);
  Ref<Task> FindTask(pid_t tid) ABSL_LOCKS_EXCLUDED(tree_mu_);
  Ref<ThreadGroup> FindGroup(pid_t pid) ABSL_LOCKS_EXCLUDED(tree_mu_);
  size_t task_count() const { return task_count_.load(std::memory_order_relaxed); }

  // What a new process without a parent is made of: a container's init, or an exec'd one.
  struct NewProcess {
    loader::ExecRequest exec;
    auth::CredRef cred;
    bool no_new_privs = false;
    Ref<const seccomp::Filter> filter;  // may be null
    Ref<FsContext> fs;
    Ref<vfs::FdTable> files;
    std::vector<std::pair<int, rlimit>> limits;
    Ref<ControllingTerminal> terminal;  // becomes the new session's; may be null
    std::string container_id;
    bool is_init = false;
    int oom_score_adj = 0;
    std::function<void(int wait_status)> on_exit;
  };
  // Makes the process and all that can fail for the caller's reasons (program not found …); it is
  // *held*: nothing of it runs until Release. Session and process group of its own.
  ErrnoOr<Ref<ThreadGroup>> CreateProcess(NewProcess process) ABSL_LOCKS_EXCLUDED(tree_mu_);
  // Lets a held process run. kNoMem etc. if the host cannot.
  ErrnoOrVoid Release(ThreadGroup& group) ABSL_LOCKS_EXCLUDED(tree_mu_);

  // uname(2), sethostname(2).
  std::string hostname() const ABSL_LOCKS_EXCLUDED(names_mu_);
  std::string domainname() const ABSL_LOCKS_EXCLUDED(names_mu_);
  void SetHostname(std::string name) ABSL_LOCKS_EXCLUDED(names_mu_);
  void SetDomainname(std::string name) ABSL_LOCKS_EXCLUDED(names_mu_);

  // The first IPC namespace: that of every process without a parent.
  const Ref<ipc::IpcNamespace>& ipc() const { return ipc_; }

  // CLOCK_MONOTONIC when the sandbox booted; CLOCK_BOOTTIME and /proc/uptime begin here.
  int64_t boot_monotonic_ns() const { return boot_monotonic_ns_; }
  int64_t boot_realtime_ns() const { return boot_realtime_ns_; }

  // Syscalls that had no full answer, by number.
  void CountUnimplemented(uint64_t number);
  uint64_t UnimplementedCount(uint64_t number) const;
  static constexpr size_t kSyscallNumbers = 512;

  // Sum of what ended and living processes forked: /proc/stat.
  std::atomic<uint64_t> forks{0};

  // SIGKILL to every process (sandbox shutdown, `kill --all`).
  void KillAll(int signo) ABSL_LOCKS_EXCLUDED(tree_mu_);

  // pause and resume of the whole sandbox: guests stop as soon as they trap or are interrupted.
  void Freeze() ABSL_LOCKS_EXCLUDED(tree_mu_);
  void Thaw() ABSL_LOCKS_EXCLUDED(tree_mu_);
  bool frozen() const { return frozen_.load(std::memory_order_acquire); }

 private:
  std::unique_ptr<platform::Platform> platform_;
  const Machine machine_;
  const Dispatcher dispatcher_;
  const Ref<ipc::IpcNamespace> ipc_;
  Tracer tracer_ = nullptr;
  const int64_t boot_monotonic_ns_;
  const int64_t boot_realtime_ns_;
  std::atomic<bool> frozen_{false};
  std::atomic<size_t> task_count_{0};
  std::array<std::atomic<uint64_t>, kSyscallNumbers> unimplemented_ = {};

  inline static absl::Mutex tree_mu_{absl::kConstInit};
  pid_t last_pid_ ABSL_GUARDED_BY(tree_mu_) = 0;
  absl::btree_map<pid_t, Task*> tasks_ ABSL_GUARDED_BY(tree_mu_);
  absl::btree_map<pid_t, Ref<ThreadGroup>> groups_ ABSL_GUARDED_BY(tree_mu_);
  absl::btree_map<pid_t, int> id_users_ ABSL_GUARDED_BY(tree_mu_);  // processes in a group by this id

  absl::btree_map<std::string, ThreadGroup*> init_of_ ABSL_GUARDED_BY(tree_mu_);

  mutable absl::Mutex names_mu_;  // leaf
  std::string hostname_ ABSL_GUARDED_BY(names_mu_);
  std::string domainname_ ABSL_GUARDED_BY(names_mu_);
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_KERNEL_H_
