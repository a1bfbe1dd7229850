#ifndef CLOISTER_SENTRY_FS_PROC_PROC_FS_H_
#define CLOISTER_SENTRY_FS_PROC_PROC_FS_H_

#include <string_view>

#include "base/error/errno_or.h"
#include "sentry/fs/kernfs/mountable.h"
#include "sentry/task/kernel.h"

namespace cloister::proc {

// proc(5): the processes of the sandbox and what its kernel says of itself. Nothing in it is the
// host's. kernel must outlive the mount.
kernfs::Mountable MakeProc(task::Kernel& kernel);

// The same with mount(2)'s options, separated by commas: kInval for those that are not known.
// hidepid=0 and gid= are taken: they change nothing where every process is shown.
ErrnoOr<kernfs::Mountable> MakeProc(task::Kernel& kernel, std::string_view options);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_PROC_FS_H_
