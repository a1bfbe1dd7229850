#include "runsc/container/groups.h"

#include <unistd.h>

#include <vector>

#include "base/error/status.h"
#include "base/log/log.h"

namespace cloister::container {
namespace {

// Monitor and gofer; the sentry's threads that do not grow with the machine; the zygote and its spares; a
// process on its way in or out.
constexpr int kFixedTasks = 24;
constexpr int kTasksPerCpu = 3;  // a worker of the sentry's, its watcher, a worker of the gofer's

using Note = std::function<absl::Status(const cgroup::Group&)>;

absl::StatusOr<cgroup::Group> Make(const spec::Spec& spec, const std::string& id, bool systemd,
                                   const Note& note) {
  const std::string place = TRY_STATUS(cgroup::PlaceOf(spec.cgroups_path, id, systemd));
  const std::vector<cgroup::Hierarchy> hierarchies = TRY_STATUS(cgroup::FindHierarchies());
  const cgroup::Group group = cgroup::Group::Plan(hierarchies, place);
  RETURN_IF_ERROR(note(group));
  RETURN_IF_ERROR(group.Make(hierarchies));
  return group;
}

}  // namespace

int SandboxTasks() { return kFixedTasks + kTasksPerCpu * static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)); }

absl::StatusOr<cgroup::Group> MakeGroup(const spec::Spec& spec, const std::string& id, bool systemd,
                                        const Note& note) {
  const bool unlimited = spec.resources == spec::Resources();
  if (unlimited && spec.cgroups_path.empty()) return cgroup::Group();
  absl::StatusOr<cgroup::Group> group = Make(spec, id, systemd, note);
  if (!group.ok() && unlimited && geteuid() != 0) {
    LOG(kWarning, "cgroup: %s", FirstLine(group.status()));
    return cgroup::Group();
  }
  absl::Status status = group.status();
  if (status.ok()) {
    status = group->Apply(spec.resources, SandboxTasks());
    if (status.ok()) return group;
    group->Remove(absl::ZeroDuration()).IgnoreError();
  }
  return absl::Status(status.code(),
                      "unable to apply cgroup configuration: " + std::string(status.message()));
}

}  // namespace cloister::container
