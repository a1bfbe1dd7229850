#ifndef CLOISTER_SENTRY_BOOT_GOFER_MOUNTS_H_
#define CLOISTER_SENTRY_BOOT_GOFER_MOUNTS_H_

#include <functional>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "sentry/boot/mounts.h"
#include "sentry/fs/gofer/gofer_fs.h"

namespace cloister::boot {

// The gofer is gone: the sandbox ends. Files that were reported written are the host's already; what
// the guest has not written is lost with it, as when a machine's disk fails.
[[noreturn]] void OnGoferLost();

// Speaks to a gofer over its first connection. on_lost is called once when the gofer is gone, on any thread
// and under any lock.
absl::StatusOr<Ref<goferfs::Gofer>> ConnectGofer(UniqueFd channel, std::function<void()> on_lost);

// Mounts the gofer's attach points.
GoferMounter MounterOf(Ref<goferfs::Gofer> gofer);

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_GOFER_MOUNTS_H_
