#ifndef CLOISTER_SENTRY_FS_PROC_FD_DIRECTORY_H_
#define CLOISTER_SENTRY_FS_PROC_FD_DIRECTORY_H_

#include "sentry/fs/proc/subject_nodes.h"

namespace cloister::proc {

// /proc/PID/fd and /proc/PID/fdinfo: an entry for each open descriptor.
Ref<vfs::Inode> MakeFdDirectory(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec);
Ref<vfs::Inode> MakeFdInfoDirectory(Ref<kernfs::Tree> tree, const Subject& subject,
                                    const kernfs::NodeSpec& spec);

// /proc/PID/exe, cwd and root.
Ref<vfs::Inode> MakeExeLink(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec);
Ref<vfs::Inode> MakeCwdLink(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec);
Ref<vfs::Inode> MakeRootLink(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_FD_DIRECTORY_H_
