#ifndef CLOISTER_SENTRY_FS_TTY_JOB_CONTROL_H_
#define CLOISTER_SENTRY_FS_TTY_JOB_CONTROL_H_

#include <cstdint>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/fs/tty/terminal.h"
#include "sentry/task/thread_group.h"
#include "sentry/vfs/file_description.h"

// What terminals and sessions have to do with each other: credentials(7), tty_ioctl(4). "The
// caller" is the task whose handler runs on this thread (task::CurrentTask); where there is none
// (boot) nothing is checked.

namespace cloister::tty {

// The caller wants to read from (SIGTTIN), write to or change (SIGTTOU) the terminal: if it is in
// the background of it, its group gets the signal and the call is to be restarted; kIo where the
// signal would do nothing. Linux: tty_check_change.
ErrnoOrVoid CheckForeground(Terminal& terminal, int signo);

// open(2) without O_NOCTTY: a session's leader without a terminal gets this one, if it is free.
void TakeIfFree(Terminal& terminal);

// The terminal of the caller's session, or null.
Ref<Terminal> CallersTerminal();

// Makes it the terminal of a process that leads a session of its own (a container's init).
void BecomeControlling(Terminal& terminal, task::ThreadGroup& leader);

// TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCGSID; kNotTy for all others. master: asked
// through the master of a pty, which may look at any session.
ErrnoOr<int64_t> JobIoctl(Terminal& terminal, const vfs::IoctlRequest& request, bool master);

}  // namespace cloister::tty

#endif  // CLOISTER_SENTRY_FS_TTY_JOB_CONTROL_H_
