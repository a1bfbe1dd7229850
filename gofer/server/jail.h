#ifndef CLOISTER_GOFER_SERVER_JAIL_H_
#define CLOISTER_GOFER_SERVER_JAIL_H_

#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "gofer/protocol/config.pb.h"

namespace cloister::gofer {

// Closes every descriptor but 0, 1, 2 and keep.
absl::Status CloseAllBut(std::vector<int> keep);

// Clones the mounts at and below an attach point (an O_PATH descriptor) into a tree of their own:
// nodev, read-only if so configured, and with no way out of it by "..", whoever controls the
// gofer. Without the right to, or where the point is of another mount namespace, it is given back
// as it is, if best_effort or the latter.
absl::StatusOr<UniqueFd> ConfineAttachPoint(UniqueFd attach, bool readonly, bool best_effort);

// Own mount, IPC, UTS and network namespaces, and an empty read-only tmpfs as root. Afterwards the
// working directory is the one of FdPath.
absl::Status EnterJail(bool best_effort);

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_SERVER_JAIL_H_
