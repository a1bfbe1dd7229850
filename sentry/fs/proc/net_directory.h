#ifndef CLOISTER_SENTRY_FS_PROC_NET_DIRECTORY_H_
#define CLOISTER_SENTRY_FS_PROC_NET_DIRECTORY_H_

#include "sentry/fs/proc/subject_nodes.h"

namespace cloister::proc {

// /proc/PID/net: the sandbox's network namespace.
Ref<vfs::Inode> MakeNetDirectory(Ref<kernfs::Tree> tree, const Subject& subject,
                                 const kernfs::NodeSpec& spec);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_NET_DIRECTORY_H_
