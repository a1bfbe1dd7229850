#include "gofer/tree/host_calls.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gofer/protocol/limits.h"
#include "gofer/tree/fd_path.h"

namespace cloister::gofer {
namespace {

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif
constexpr unsigned kStatMask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;

ErrnoOr<UniqueFd> OpenAt2(int dir, const char* name, int flags, mode_t mode, uint64_t resolve) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = resolve;
  long fd;
  do {
    fd = syscall(SYS_openat2, dir, name, &how, sizeof how);
    // EAGAIN: a rename went on meanwhile, openat2(2); the kernel asks to try again.
  } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && resolve != 0)));
  if (fd < 0) return HostErrno();
  return UniqueFd(static_cast<int>(fd));
}

}  // namespace

ErrnoOr<UniqueFd> OpenBeneath(int dir, const char* name, int flags, mode_t mode) {
  return OpenAt2(dir, name, flags | O_NOFOLLOW, mode,
                 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

ErrnoOr<UniqueFd> Reopen(int fd, int flags) { return OpenAt2(AT_FDCWD, FdPath(fd).c_str(), flags, 0, 0); }

ErrnoOr<struct statx> StatAt(int fd, const char* name) {
  struct statx attr;
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (statx(fd, name, flags, kStatMask, &attr) < 0) return HostErrno();
  return attr;
}

ErrnoOr<std::string> ReadlinkAt(int fd, const char* name) {
  char text[kMaxTargetBytes + 1];
  const ssize_t length = readlinkat(fd, name, text, sizeof text);
  if (length < 0) return HostErrno();
  if (static_cast<size_t>(length) > kMaxTargetBytes) return Errno::kNameTooLong;
  return std::string(text, static_cast<size_t>(length));
}

}  // namespace cloister::gofer
