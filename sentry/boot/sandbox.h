#ifndef CLOISTER_SENTRY_BOOT_SANDBOX_H_
#define CLOISTER_SENTRY_BOOT_SANDBOX_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/host/unique_fd.h"
#include "sentry/boot/monitor_link.h"
#include "sentry/boot/stdio.h"
#include "sentry/control/control.pb.h"
#include "sentry/fs/gofer/gofer_fs.h"
#include "sentry/task/kernel.h"

namespace cloister::boot {

// The containers of one sandbox and the processes that runsc asked for: what the control socket
// acts on. Thread-safe.
class Sandbox {
 public:
  Sandbox(task::Kernel& kernel, Ref<goferfs::Gofer> gofer) : kernel_(kernel), gofer_(std::move(gofer)) {}

  task::Kernel& kernel() const { return kernel_; }

  // Makes a container's init, held until Start. fs: its root. A failure is one line as runc words
  // it: `exec: "x": executable file not found in $PATH`.
  absl::Status CreateContainer(const control::Container& container, Ref<task::FsContext> fs, Stdio stdio,
                               UniqueFd monitor) ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status Start(const std::string& container) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Signal(const control::SignalRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  // Calls done with wait(2)'s status once the process has ended, maybe at once.
  void Wait(const control::WaitRequest& request, std::function<void(absl::StatusOr<int>)> done)
      ABSL_LOCKS_EXCLUDED(mu_);
  // fds: the monitor's socket, stdio, preserved descriptors. *error: the errno behind a failure.
  absl::StatusOr<pid_t> Exec(const control::ExecRequest& request, std::vector<UniqueFd> fds, Errno* error)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Ps(const std::string& container, control::PsReply* reply);
  absl::Status Pause() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Resume() ABSL_LOCKS_EXCLUDED(mu_);
  control::StateReply::State State(const std::string& container) ABSL_LOCKS_EXCLUDED(mu_);
  // A line a task: ids, name, state, the syscall it waits in.
  std::string DescribeTasks();
  // How often the gofer was asked: lines of a name and a number.
  std::string DescribeGofer() const;

 private:
  struct Process {
    Ref<task::ThreadGroup> group;
    bool ended = false;
    int wait_status = 0;
    std::vector<std::function<void(absl::StatusOr<int>)>> waiters;
  };
  struct Container {
    Process init;
    std::map<pid_t, Process> execs;
    Ref<task::FsContext> fs;
    bool started = false;
  };

  Container* FindLocked(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // exec_pid 0: the container's init.
  void OnExit(const std::string& container, pid_t exec_pid, int wait_status) ABSL_LOCKS_EXCLUDED(mu_);

  task::Kernel& kernel_;
  const Ref<goferfs::Gofer> gofer_;
  absl::Mutex mu_;  // above Kernel::tree_mu()
  std::map<std::string, Container> containers_ ABSL_GUARDED_BY(mu_);
  int living_ ABSL_GUARDED_BY(mu_) = 0;
  bool paused_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_SANDBOX_H_
