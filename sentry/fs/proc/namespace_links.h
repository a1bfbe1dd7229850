#ifndef CLOISTER_SENTRY_FS_PROC_NAMESPACE_LINKS_H_
#define CLOISTER_SENTRY_FS_PROC_NAMESPACE_LINKS_H_

#include "sentry/fs/proc/subject_nodes.h"

namespace cloister::proc {

// /proc/PID/ns: a link for each namespace that the process is in, "net:[4026531840]". Two processes
// are in the same one where the numbers are the same. namespaces(7).
Ref<vfs::Inode> MakeNamespaceDirectory(Ref<kernfs::Tree> tree, const Subject& subject,
                                       const kernfs::NodeSpec& spec);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_NAMESPACE_LINKS_H_
