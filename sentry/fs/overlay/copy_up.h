#ifndef CLOISTER_SENTRY_FS_OVERLAY_COPY_UP_H_
#define CLOISTER_SENTRY_FS_OVERLAY_COPY_UP_H_

#include <cstdint>

#include "base/error/errno_or.h"
#include "sentry/fs/overlay/overlay_super.h"
#include "sentry/vfs/inode.h"

namespace cloister::overlay {

// A node of the upper layer with the lower one's mode, owner, times and extended attributes; empty
// if it is a file or directory. Linux: ovl_copy_up_one.
ErrnoOr<Ref<vfs::Inode>> CopyNode(OverlayFs& fs, vfs::Inode& lower);

// The first `bytes` of a regular file's data (holes stay holes), without a trace in the times of
// `upper`. On an error `upper` is empty again.
ErrnoOrVoid CopyData(vfs::Inode& lower, vfs::Inode& upper, uint64_t bytes);

}  // namespace cloister::overlay

#endif  // CLOISTER_SENTRY_FS_OVERLAY_COPY_UP_H_
