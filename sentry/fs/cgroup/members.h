#ifndef CLOISTER_SENTRY_FS_CGROUP_MEMBERS_H_
#define CLOISTER_SENTRY_FS_CGROUP_MEMBERS_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error/errno_or.h"
#include "sentry/task/kernel.h"

namespace cloister::cgroup {

// Who is in the group, and what they use: the processes of the container that the running handler's
// task belongs to, or all where nobody's handler runs. Thread-safe.
class Members {
 public:
  explicit Members(task::Kernel& kernel) : kernel_(kernel) {}

  // Ascending. A process is listed as long as a thread of it lives.
  std::vector<pid_t> Processes() const;
  std::vector<pid_t> Threads() const;

  // write(2) to cgroup.procs and cgroup.threads: moves a member to where it is. 0 is the writer, and
  // any thread's number stands for its process. kInval for what is no number, kSrch for who is no member.
  ErrnoOrVoid Move(std::string_view text) const;

  // Bytes of memory: what the processes have mapped, at most what the machine has.
  uint64_t MemoryBytes() const;
  // CPU time, of ended processes too. Never goes back.
  uint64_t CpuMicroseconds() const;

 private:
  std::vector<Ref<task::ThreadGroup>> Groups() const;

  task::Kernel& kernel_;
  mutable std::atomic<uint64_t> cpu_seen_{0};
};

}  // namespace cloister::cgroup

#endif  // CLOISTER_SENTRY_FS_CGROUP_MEMBERS_H_
