#ifndef CLOISTER_SENTRY_BOOT_MOUNTS_H_
#define CLOISTER_SENTRY_BOOT_MOUNTS_H_

#include <functional>

#include "absl/status/statusor.h"
#include "sentry/control/control.pb.h"
#include "sentry/fs/kernfs/mountable.h"
#include "sentry/task/kernel.h"

namespace cloister::boot {

// What the gofer gives at an attach point: the container's root is 0. shared: others change it too.
using GoferMounter = std::function<absl::StatusOr<kernfs::Mountable>(int attach_point, bool shared)>;

// A container's tree as config.json describes it: the root, mounts[] in their order, masked and
// read-only paths. A failure names the mount.
absl::StatusOr<Ref<task::FsContext>> BuildTree(task::Kernel& kernel, const control::Container& container,
                                               const GoferMounter& gofer);

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_MOUNTS_H_
