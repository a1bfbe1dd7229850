#ifndef CLOISTER_RUNSC_CONTAINER_POD_H_
#define CLOISTER_RUNSC_CONTAINER_POD_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "runsc/cgroup/group.h"
#include "runsc/spec/spec.h"
#include "runsc/spec/state.h"
#include "sentry/control/control.pb.h"

namespace cloister::container {

// Kubernetes' pods, as containerd's CRI plugin marks them by annotations: io.kubernetes.cri.container-type is
// "sandbox" for the first container of a pod and "container" for the others, which name it by
// io.kubernetes.cri.sandbox-id. All containers of a pod share one sentry.
enum class PodRole { kNone, kSandbox, kContainer };

struct PodPlan {
  PodRole role = PodRole::kNone;
  // kContainer:
  spec::State sandbox;        // the pod's first container, which runs
  std::string control_path;   // the directory of its control socket
  std::string network_path;   // the pod's network namespace
  std::string pid_namespace;  // id of the container whose PID namespace is shared; empty: its own
};

// Id of the container whose sentry a container of a pod lives in; empty for every other.
std::string SandboxOf(const spec::State& state);

// What config.json asks of a container under root. Namespaces that a container of a pod cannot have, or a
// sandbox that is none or does not run, are errors that name the field.
absl::StatusOr<PodPlan> PlanPod(const std::string& root, const spec::Spec& spec);

// Makes the container in the pod's sentry. fds are borrowed, in CreateRequest's order: the gofer's channel,
// the monitor's socket, then stdio.
absl::Status CreateInPod(const PodPlan& pod, control::CreateRequest request, std::span<const int> fixed,
                         const cgroup::Group& group, std::span<const int> stdio);

// Ends it there. A sentry that is gone or does not answer is no error: its processes are then ended
// otherwise.
void DestroyInPod(const std::string& control_path, const std::string& id);

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_POD_H_
