#ifndef CLOISTER_RUNSC_CONTAINER_GROUPS_H_
#define CLOISTER_RUNSC_CONTAINER_GROUPS_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "runsc/cgroup/group.h"
#include "runsc/spec/spec.h"

namespace cloister::container {

// Makes the container's control groups and sets its limits. Before the first is made note is told where they
// will be, so that they are found again should the caller be killed; an error of it is the answer. Where
// config.json has neither a place for them nor a limit, there are none and the sandbox stays in the caller's:
// entering one waits for the kernel longer than all the rest of a start takes. A caller without privilege
// goes without, unless there is a limit to set.
absl::StatusOr<cgroup::Group> MakeGroup(const spec::Spec& spec, const std::string& id, bool systemd,
                                        const std::function<absl::Status(const cgroup::Group&)>& note);

// Threads of the sandbox's own, at most: room that a limit on the container's processes has to leave.
int SandboxTasks();

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_GROUPS_H_
