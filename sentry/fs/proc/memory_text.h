#ifndef CLOISTER_SENTRY_FS_PROC_MEMORY_TEXT_H_
#define CLOISTER_SENTRY_FS_PROC_MEMORY_TEXT_H_

#include <string>

#include "base/error/errno_or.h"
#include "sentry/fs/proc/subject.h"

// The text of a process' files that tell of its memory, or are read out of it. A zombie's are empty.

namespace cloister::proc {

ErrnoOr<std::string> MapsText(const Subject& subject);
ErrnoOr<std::string> SmapsText(const Subject& subject);
ErrnoOr<std::string> SmapsRollupText(const Subject& subject);
ErrnoOr<std::string> CmdlineText(const Subject& subject);
ErrnoOr<std::string> EnvironText(const Subject& subject);
ErrnoOr<std::string> AuxvText(const Subject& subject);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_MEMORY_TEXT_H_
