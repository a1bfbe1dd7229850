#ifndef CLOISTER_SENTRY_VFS_CALLER_H_
#define CLOISTER_SENTRY_VFS_CALLER_H_

#include <sys/types.h>

#include <cstdint>

#include "sentry/auth/credentials.h"
#include "sentry/vfs/mount.h"
#include "sentry/vfs/path.h"

namespace cloister::vfs {

// On whose behalf the VFS acts: all it knows of a task. Made for one syscall, on the stack.
struct Caller {
  auth::CredRef cred;
  Ref<MountNamespace> mounts;
  Path root;  // chroot(2)
  Path cwd;
  mode_t umask = 022;
  pid_t thread_group = 0;                 // guest pid: owner of POSIX locks, F_SETOWN default
  const void* files = nullptr;            // identity of the fd table: owner of POSIX locks
  uint64_t max_file_size = ~uint64_t{0};  // RLIMIT_FSIZE
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_CALLER_H_
