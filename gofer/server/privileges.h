#ifndef CLOISTER_GOFER_SERVER_PRIVILEGES_H_
#define CLOISTER_GOFER_SERVER_PRIVILEGES_H_

#include "absl/status/statusor.h"

namespace cloister::gofer {

// Raises RLIMIT_NOFILE as far as allowed: every node is a descriptor. Gives the new limit.
absl::StatusOr<uint64_t> RaiseFileLimit();

// Keeps of the capabilities this process has only those that serving files for many users needs,
// for this thread and those it starts; sets no_new_privs, empties the bounding set and the
// supplementary groups, and forbids that anything is gained again.
absl::Status DropPrivileges(bool device_nodes);

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_SERVER_PRIVILEGES_H_
