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
// acts on. The first container is the sandbox's own: with its last process all ends. Thread-safe.
class Sandbox {
 public:
  // gofer: of the first container.
  Sandbox(task::Kernel& kernel, Ref<goferfs::Gofer> gofer) : kernel_(kernel), gofer_(std::move(gofer)) {}

  task::Kernel& kernel() const { return kernel_; }

  // Makes a container's init, held until Start. stdio: its descriptors, then preserved ones. A failure is one
  // line as runc words it: `exec: "x": executable file not found in $PATH`.
  absl::Status CreateFirst(const control::Container& config, UniqueFd monitor, std::vector<UniqueFd> stdio)
      ABSL_LOCKS_EXCLUDED(mu_);
  // A further container, with descriptors as control.proto's CreateRequest has them. A hang-up of gofer_line,
  // its gofer's channel, is to be told to on_gofer_lost; it ends that container alone.
  struct Created {
    UniqueFd gofer_line;
    std::function<void()> on_gofer_lost;
  };
  absl::StatusOr<Created> Create(const control::CreateRequest& request, std::vector<UniqueFd> fds)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Ends what runs of such a container, and forgets it.
  absl::Status Destroy(const std::string& container) ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status Start(const std::string& container) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Signal(const control::SignalRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  // Calls done with wait(2)'s status once the process has ended, maybe at once.
  void Wait(const control::WaitRequest& request, std::function<void(absl::StatusOr<int>)> done)
      ABSL_LOCKS_EXCLUDED(mu_);
  // fds: the monitor's socket, stdio, preserved descriptors. *error: the errno behind a failure.
  absl::StatusOr<pid_t> Exec(const control::ExecRequest& request, std::vector<UniqueFd> fds, Errno* error)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Ps(const std::string& container, control::PsReply* reply);
  absl::Status Pause(const std::string& container) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Resume(const std::string& container) ABSL_LOCKS_EXCLUDED(mu_);
  control::StateReply::State State(const std::string& container) ABSL_LOCKS_EXCLUDED(mu_);
  // A line a task: ids, name, state, the syscall it waits in.
  std::string DescribeTasks();
  // How often the first container's gofer was asked: lines of a name and a number.
  std::string DescribeGofer() const;

 private:
  struct Process {
    Ref<task::ThreadGroup> group;
    bool ended = false;
    int wait_status = 0;
    std::vector<std::function<void(absl::StatusOr<int>)>> waiters;
  };
  // Its fields are guarded by mu_. One that is forgotten lives until the last of its processes has ended.
  struct Container {
    std::string id;
    bool first = false;
    Process init;
    std::map<pid_t, Process> execs;
    int living = 0;  // of init and execs
    Ref<task::FsContext> fs;
    UniqueFd gofer_line;  // of a further container's gofer, to hang up on it
    bool started = false;
    bool paused = false;
  };
  using ContainerRef = std::shared_ptr<Container>;

  ContainerRef FindLocked(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckNew(const control::Container& config) ABSL_LOCKS_EXCLUDED(mu_);
  // Its mounts, init and monitor.
  absl::Status Make(const ContainerRef& container, const control::Container& config,
                    const Ref<goferfs::Gofer>& gofer, UniqueFd monitor, std::vector<UniqueFd> stdio)
      ABSL_LOCKS_EXCLUDED(mu_);
  // SIGKILL to all of it, init that waits for Start included.
  void Kill(const std::string& container);
  void OnGoferGone(const ContainerRef& container) ABSL_LOCKS_EXCLUDED(mu_);
  // exec_pid 0: the container's init.
  void OnExit(const ContainerRef& container, pid_t exec_pid, int wait_status) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status ChangePause(const std::string& container, bool pause) ABSL_LOCKS_EXCLUDED(mu_);

  task::Kernel& kernel_;
  const Ref<goferfs::Gofer> gofer_;
  absl::Mutex mu_;  // above Kernel::tree_mu()
  std::map<std::string, ContainerRef> containers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_SANDBOX_H_
