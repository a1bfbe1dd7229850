#ifndef CLOISTER_RUNSC_SHIM_TASK_H_
#define CLOISTER_RUNSC_SHIM_TASK_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/host/reaper.h"
#include "base/host/unique_fd.h"
#include "runsc/cgroup/group.h"
#include "runsc/shim/api/task.pb.h"
#include "runsc/shim/console.h"
#include "runsc/shim/oom_watcher.h"
#include "runsc/shim/publisher.h"
#include "runsc/shim/runsc_command.h"
#include "runsc/shim/stdio.h"

namespace cloister::shim {

// What all tasks of a shim share; outlives them.
struct TaskContext {
  std::string name_space;
  Reaper* reaper;
  Publisher* publisher;
  OomWatcher* oom_watcher;
};

// One container as containerd sees it: its first process and those that Exec adds. Every event of theirs is
// published here, in the order start, oom, exit: an exit waits until the start has been told, and the first
// process' until all others' have been.
//
// Methods block while runsc works and may be called from several threads. Errors carry the codes that
// containerd acts on: not found, already exists, failed precondition, invalid argument, unimplemented.
class Task : public std::enable_shared_from_this<Task> {
 public:
  using OnExit = std::function<void(const Exit&)>;

  // Mounts the root file system and makes the container. After an error nothing is left of it.
  static absl::StatusOr<std::shared_ptr<Task>> Create(const TaskContext& context,
                                                      const api::CreateTaskRequest& request);

  absl::Status Exec(const api::ExecProcessRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<pid_t> Start(const std::string& exec_id) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<api::DeleteResponse> Delete(const std::string& exec_id) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Kill(const api::KillRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Pause() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Resume() ABSL_LOCKS_EXCLUDED(mu_);
  // resources: JSON of config.json's linux.resources.
  absl::Status Update(const std::string& resources) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<api::StateResponse> State(const std::string& exec_id) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<api::PidsResponse> Pids() ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<api::Any> Stats() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status ResizePty(const api::ResizePtyRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status CloseIo(const api::CloseIORequest& request) ABSL_LOCKS_EXCLUDED(mu_);

  // on_exit runs once: now where the process has ended, else when it does.
  absl::Status Wait(const std::string& exec_id, OnExit on_exit) ABSL_LOCKS_EXCLUDED(mu_);

  // 0 before there is one.
  pid_t pid() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  enum class Phase { kCreated, kStarting, kRunning, kStopped };

  // All fields that change are guarded by the task's mu_.
  struct Process {
    std::string exec_id;  // empty: the container's first
    StdioPaths paths;
    std::string spec;  // an exec's, JSON
    Phase phase = Phase::kCreated;
    bool removing = false;  // by a Delete that is at work
    pid_t pid = 0;
    UniqueFd pidfd;
    std::shared_ptr<Stdio> stdio;
    std::optional<Exit> pending;  // reaped, and not told yet
    Exit exit;
    std::vector<OnExit> waiting;
  };
  using ProcessRef = std::shared_ptr<Process>;

  Task(const TaskContext& context, const api::CreateTaskRequest& request, RuntimeConfig runtime);

  absl::Status Make(const api::CreateTaskRequest& request);
  absl::Status StartExec(Process& process);
  // Runs a command that leaves a process behind whose pid it writes to a file.
  absl::Status Launch(Process& process, std::string_view what, std::vector<std::string> args,
                      const std::string& pid_file);
  void Adopt(Process& process, pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status RemoveContainer(Process& process) ABSL_LOCKS_EXCLUDED(mu_);
  void WatchOom(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);

  absl::StatusOr<ProcessRef> FindLocked(const std::string& exec_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<ProcessRef> FindRunningLocked(const std::string& exec_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Reaped(const std::string& exec_id, const Exit& exit) ABSL_LOCKS_EXCLUDED(mu_);
  void EndExecs() ABSL_LOCKS_EXCLUDED(mu_);
  void TellExits() ABSL_LOCKS_EXCLUDED(mu_);
  void TellExitLocked(Process& process) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TellOomLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool ExecsLiveLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const TaskContext context_;
  const std::string id_;
  const std::string bundle_;
  const RunscCommand runsc_;

  absl::Mutex mu_;  // leaf but for those of Publisher and Stdio
  std::map<std::string, ProcessRef> processes_ ABSL_GUARDED_BY(mu_);
  bool paused_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<cgroup::Group> group_ ABSL_GUARDED_BY(mu_);
  uint64_t oom_kills_ ABSL_GUARDED_BY(mu_) = 0;
  int oom_key_ ABSL_GUARDED_BY(mu_) = -1;
  int consoles_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::pair<OnExit, Exit>> due_ ABSL_GUARDED_BY(mu_);  // to be called without the lock
};

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_TASK_H_
