#ifndef CLOISTER_SENTRY_FS_TMP_SHARED_MEMORY_H_
#define CLOISTER_SENTRY_FS_TMP_SHARED_MEMORY_H_

#include <cstdint>
#include <string_view>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/auth/credentials.h"
#include "sentry/vfs/file_description.h"

// Files in memory that no directory holds. Linux: shmem's internal mount.

namespace cloister::tmp {

// memfd_create(2). flags: MFD_CLOEXEC is the caller's; MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL and MFD_EXEC are
// obeyed; kInval for others. The name has been checked for its length.
ErrnoOr<Ref<vfs::FileDescription>> MakeMemFd(std::string_view name, unsigned flags, auth::CredRef cred);

// A file of `size` bytes, open for reading and writing, to be mapped: MAP_SHARED | MAP_ANONYMOUS
// ("dev/zero") and System V segments ("SYSV00000000").
ErrnoOr<Ref<vfs::FileDescription>> MakeSharedMemory(std::string_view name, uint64_t size, auth::CredRef cred);

}  // namespace cloister::tmp

#endif  // CLOISTER_SENTRY_FS_TMP_SHARED_MEMORY_H_
