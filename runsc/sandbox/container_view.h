#ifndef CLOISTER_RUNSC_SANDBOX_CONTAINER_VIEW_H_
#define CLOISTER_RUNSC_SANDBOX_CONTAINER_VIEW_H_

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"

namespace cloister::sandbox {

// One of the host's trees that a container sees, and where: "/" for its root.
struct ViewMount {
  UniqueFd tree;  // a mount of its own that is not in any namespace yet
  std::string destination;
  bool readonly = false;
};

// place: a directory or file, O_PATH.
absl::StatusOr<ViewMount> MakeViewMount(int place, std::string destination, bool readonly);

// Gives the calling process a mount namespace that has the container's files and nothing else, the root being
// the first of mounts. Engines enter it by /proc/PID/ns/mnt to copy files, and what they write must not land
// in the host's tree. A bind mount whose place exists in the guest's view alone is left out. A caller that
// may not have such a namespace stays where it is.
absl::Status EnterContainerView(std::span<const ViewMount> mounts);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_CONTAINER_VIEW_H_
