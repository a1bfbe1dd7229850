#ifndef CLOISTER_SENTRY_BOOT_GOFER_MOUNTS_H_
#define CLOISTER_SENTRY_BOOT_GOFER_MOUNTS_H_

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "sentry/boot/mounts.h"

namespace cloister::boot {

// Speaks to the gofer over its first connection. When the gofer is gone, the sandbox ends.
absl::StatusOr<GoferMounter> ConnectGofer(UniqueFd channel);

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_GOFER_MOUNTS_H_
