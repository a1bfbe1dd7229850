#ifndef CLOISTER_RUNSC_SHIM_OOM_WATCHER_H_
#define CLOISTER_RUNSC_SHIM_OOM_WATCHER_H_

#include <functional>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/host/unique_fd.h"
#include "runsc/cgroup/group.h"

namespace cloister::shim {

// Hears from the host's kernel when the memory of a container's group is used up: by an eventfd in version 1
// (memory.oom_control), by inotify in version 2 (memory.events). One thread for all, begun with the first.
// One for each process, which is never destroyed.
class OomWatcher {
 public:
  // on_kill runs on the watcher's thread, after the kernel has killed in the group. The key is for Forget().
  absl::StatusOr<int> Watch(const cgroup::Group& group, std::function<void()> on_kill)
      ABSL_LOCKS_EXCLUDED(mu_);

  // on_kill is not called any more once this has returned.
  void Forget(int key) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    UniqueFd events;  // the key is its number
    cgroup::Group group;
    uint64_t kills = 0;
    std::function<void()> on_kill;
  };

  absl::Status StartLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Loop() ABSL_LOCKS_EXCLUDED(mu_);
  void Handle(int key) ABSL_LOCKS_EXCLUDED(mu_);

  absl::Mutex mu_;  // above the tasks': held while on_kill runs
  UniqueFd epoll_ ABSL_GUARDED_BY(mu_);
  std::map<int, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_OOM_WATCHER_H_
