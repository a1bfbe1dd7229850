#ifndef CLOISTER_SENTRY_FS_PROC_PID_DIRECTORY_H_
#define CLOISTER_SENTRY_FS_PROC_PID_DIRECTORY_H_

#include <sys/types.h>

#include <optional>
#include <string_view>

#include "base/own/ref.h"
#include "sentry/fs/kernfs/tree.h"
#include "sentry/fs/proc/subject.h"
#include "sentry/vfs/inode.h"

namespace cloister::proc {

// /proc/PID, with its threads below task/.
Ref<vfs::Inode> MakePidDirectory(Ref<kernfs::Tree> tree, const Subject& subject);
// Whether inode, made by MakePidDirectory, is about a subject that is still there.
bool IsLivePidDirectory(vfs::Inode& inode);

// A name as proc's directories take it for a number: no sign, no leading zero.
std::optional<pid_t> ParsePid(std::string_view name);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_PID_DIRECTORY_H_
