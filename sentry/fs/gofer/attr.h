#ifndef CLOISTER_SENTRY_FS_GOFER_ATTR_H_
#define CLOISTER_SENTRY_FS_GOFER_ATTR_H_

#include <sys/stat.h>

#include "gofer/protocol/gofer.pb.h"

// Between the gofer's attributes, the host's and the guest's. Device and inode numbers are left to
// the caller: the guest sees the sentry's.

namespace cloister::goferfs {

// All that attr says, but for device and inode number.
void FromMessage(const gofer::Attr& attr, struct statx* to);

// What fstat(2) of a donated file says; the rest (btime) stays, and so do the owners: the sentry's
// user namespace knows hardly any, and would see all others as nobody's.
void FromHost(const struct stat& host, struct statx* to);

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_ATTR_H_
