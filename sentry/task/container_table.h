#ifndef CLOISTER_SENTRY_TASK_CONTAINER_TABLE_H_
#define CLOISTER_SENTRY_TASK_CONTAINER_TABLE_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sentry/task/thread_group.h"

namespace cloister::task {

// What sets the containers of one sandbox apart, by their ids: whose processes they see, which of them stand
// still, and where the host counts them. Pids are unique in the sandbox; a container's tasks find those of
// its own processes and of the containers that it shares a PID namespace with. Linux: struct pid_namespace,
// the freezer and the css_set of a task. One that is not in the table runs and sees itself alone.
// Thread-safe.
class ContainerTable {
 public:
  static ContainerTable& Get();

  // Its processes and those of another container see each other. Before it has any.
  void SharePids(const std::string& container, const std::string& with) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the task whose handler runs on this thread sees the process. Elsewhere all are seen.
  bool CallerSees(const ThreadGroup& group) const ABSL_LOCKS_EXCLUDED(mu_);

  // pause and resume, as far as this table goes: see Kernel::Freeze.
  void SetFrozen(const std::string& container, bool frozen) ABSL_LOCKS_EXCLUDED(mu_);
  bool IsFrozen(const std::string& container) const ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the process stands still with its container. Asks no lock while nothing of the kernel is frozen.
  bool IsFrozen(const ThreadGroup& group) const ABSL_LOCKS_EXCLUDED(mu_);
  bool AnyFrozen() const ABSL_LOCKS_EXCLUDED(mu_);

  // Told of every host process that begins with a program of the container; what that one forks has its
  // place. Called on any thread, without locks.
  using Placer = std::function<void(pid_t host_pid)>;
  void SetPlacer(const std::string& container, Placer placer) ABSL_LOCKS_EXCLUDED(mu_);
  void Place(const std::string& container, pid_t host_pid) const ABSL_LOCKS_EXCLUDED(mu_);

  void Forget(const std::string& container) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    std::string pids_of;  // the container whose PID namespace it is in; empty: its own
    bool frozen = false;
    std::shared_ptr<const Placer> placer;
  };

  const std::string& PidsOfLocked(const std::string& container) const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;  // leaf
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_CONTAINER_TABLE_H_
