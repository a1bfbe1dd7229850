#ifndef CLOISTER_RUNSC_SHIM_USAGE_H_
#define CLOISTER_RUNSC_SHIM_USAGE_H_

#include <sys/types.h>

#include <string_view>

#include "absl/status/statusor.h"
#include "runsc/cgroup/group.h"
#include "runsc/shim/api/common.pb.h"

namespace cloister::shim {

// The control groups that a process is in.
absl::StatusOr<cgroup::Group> GroupOf(pid_t pid);

// The same from the texts of /proc/self/mountinfo and /proc/PID/cgroup.
cgroup::Group ParseGroup(std::string_view mountinfo, std::string_view cgroup);

// What is used in the group, as containerd's message for the version of control groups that has the memory
// controller.
api::Any ReadUsage(const cgroup::Group& group);

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_USAGE_H_
