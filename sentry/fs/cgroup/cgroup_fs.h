#ifndef CLOISTER_SENTRY_FS_CGROUP_CGROUP_FS_H_
#define CLOISTER_SENTRY_FS_CGROUP_CGROUP_FS_H_

#include <cstdint>
#include <optional>

#include "sentry/fs/kernfs/mountable.h"
#include "sentry/task/kernel.h"

namespace cloister::cgroup {

// What the container may use, as its cgroup on the host holds it to. Unset: "max".
struct Limits {
  std::optional<uint64_t> memory;     // bytes
  std::optional<uint64_t> cpu_quota;  // microseconds in each period of 100 ms
  std::optional<uint64_t> tasks;      // processes and threads
};

// cgroups(7), version 2, as a container in a cgroup namespace of its own sees it: one group, which
// holds the processes of the reader's container, has no children and gets none. Its limits are the
// host's to enforce; they are shown here and cannot be changed (EPERM, as under "nsdelegate").
// The kernel must outlive it.
kernfs::Mountable MakeCgroup2(task::Kernel& kernel, const Limits& limits);
// The machine's memory is all the limit there is.
kernfs::Mountable MakeCgroup2(task::Kernel& kernel);

}  // namespace cloister::cgroup

#endif  // CLOISTER_SENTRY_FS_CGROUP_CGROUP_FS_H_
