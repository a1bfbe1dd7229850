#ifndef CLOISTER_SENTRY_FS_PROC_MEMORY_TEXT_H_
#define CLOISTER_SENTRY_FS_PROC_MEMORY_TEXT_H_

#include <string>

#include "base/error/errno_or.h"
#include "sentry/fs/proc/subject_nodes.h"

// The text of a process' files that tell of its memory, or are read out of it. A zombie's are empty.

namespace cloister::proc {

ErrnoOr<std::string> MapsText(const Subject& subject);
ErrnoOr<std::string> SmapsText(const Subject& subject);
ErrnoOr<std::string> SmapsRollupText(const Subject& subject);
ErrnoOr<std::string> CmdlineText(const Subject& subject);
ErrnoOr<std::string> EnvironText(const Subject& subject);
ErrnoOr<std::string> AuxvText(const Subject& subject);

// /proc/PID/mem.
Ref<vfs::Inode> MakeMemFile(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_MEMORY_TEXT_H_
