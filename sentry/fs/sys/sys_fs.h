#ifndef CLOISTER_SENTRY_FS_SYS_SYS_FS_H_
#define CLOISTER_SENTRY_FS_SYS_SYS_FS_H_

#include "sentry/fs/kernfs/mountable.h"
#include "sentry/task/kernel.h"

namespace cloister::sys {

// sysfs(5): what the C library, the JVM, lscpu and hwloc ask of the machine. All of it follows from
// the kernel's Machine, which must outlive it, and from the sandbox's network stack: nothing is the
// host's. Directories are made when they are first looked into.
kernfs::Mountable MakeSys(task::Kernel& kernel);

}  // namespace cloister::sys

#endif  // CLOISTER_SENTRY_FS_SYS_SYS_FS_H_
