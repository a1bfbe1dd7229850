#ifndef CLOISTER_SENTRY_FS_TTY_TERMINAL_IOCTL_H_
#define CLOISTER_SENTRY_FS_TTY_TERMINAL_IOCTL_H_

#include <cstdint>

#include "base/error/errno_or.h"
#include "sentry/fs/tty/terminal.h"
#include "sentry/vfs/file_description.h"

namespace cloister::tty {

// tty_ioctl(4) for both sides of a terminal; job control included. kNotTy for what is none of it.
ErrnoOr<int64_t> TerminalIoctl(Terminal& terminal, const vfs::IoctlRequest& request, bool master);

}  // namespace cloister::tty

#endif  // CLOISTER_SENTRY_FS_TTY_TERMINAL_IOCTL_H_
