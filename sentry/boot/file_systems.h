#ifndef CLOISTER_SENTRY_BOOT_FILE_SYSTEMS_H_
#define CLOISTER_SENTRY_BOOT_FILE_SYSTEMS_H_

#include "absl/status/statusor.h"
#include "sentry/control/control.pb.h"
#include "sentry/fs/kernfs/mountable.h"
#include "sentry/task/kernel.h"

namespace cloister::boot {

// The sentry's own file systems by mount type: proc, sysfs, devpts, cgroup, cgroup2.
absl::StatusOr<kernfs::Mountable> MakeFileSystem(task::Kernel& kernel, const control::Container& container,
                                                 const control::Mount& mount);

// `lower` with all changes kept in memory, at most half of the machine's.
absl::StatusOr<kernfs::Mountable> OverlayOver(task::Kernel& kernel, kernfs::Mountable lower);

// What the guests' own mount(2) may make besides tmpfs; container is the sandbox's first. Once, before the
// first guest runs.
void RegisterMountTypes(task::Kernel& kernel, const control::Container& container);

// Memory devices and FIFOs on every file system get their drivers. Once, before the first container.
void RegisterSpecialFiles();

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_FILE_SYSTEMS_H_
