#ifndef CLOISTER_SENTRY_FS_PROC_MOUNT_TEXT_H_
#define CLOISTER_SENTRY_FS_PROC_MOUNT_TEXT_H_

#include <string>

#include "base/error/errno_or.h"
#include "sentry/fs/proc/subject.h"

// The mounts that a process sees below its root. kInval for a zombie, which sees none.

namespace cloister::proc {

ErrnoOr<std::string> MountsText(const Subject& subject);
ErrnoOr<std::string> MountInfoText(const Subject& subject);
ErrnoOr<std::string> MountStatsText(const Subject& subject);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_MOUNT_TEXT_H_
