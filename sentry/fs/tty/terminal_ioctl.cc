#include "sentry/fs/tty/terminal_ioctl.h"

#include <asm/termbits.h>
#include <signal.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>

#include "sentry/fs/tty/job_control.h"

namespace cloister::tty {
namespace {

using usermem::UserPtr;
using vfs::IoctlRequest;

template <typename T>
ErrnoOr<int64_t> Put(const IoctlRequest& request, const T& value) {
  TRY_VOID(usermem::CopyOut(request.space, UserPtr<T>(request.arg), value));
  return 0;
}

template <typename T>
ErrnoOr<T> Take(const IoctlRequest& request) {
  return usermem::CopyIn(request.space, UserPtr<const T>(request.arg));
}

struct termios Narrow(const struct termios2& modes) {
  struct termios old = {};
  old.c_iflag = modes.c_iflag;
  old.c_oflag = modes.c_oflag;
  old.c_cflag = modes.c_cflag;
  old.c_lflag = modes.c_lflag;
  old.c_line = modes.c_line;
  std::copy(std::begin(modes.c_cc), std::end(modes.c_cc), old.c_cc);
  return old;
}

// Linux: the hardware's word size and speed are as they are; a pty says 8 bits, no parity.
ErrnoOr<int64_t> Set(Terminal& terminal, struct termios2 modes, bool flush) {
  modes.c_cflag = (modes.c_cflag & ~static_cast<tcflag_t>(CSIZE | PARENB)) | CS8 | CREAD;
  modes.c_line = 0;
  terminal.SetTermios(modes, flush);
  return 0;
}

ErrnoOr<int64_t> SetOld(Terminal& terminal, const IoctlRequest& request, bool flush) {
  const auto old = TRY(Take<struct termios>(request));
  struct termios2 modes = terminal.Termios();
  modes.c_iflag = old.c_iflag;
  modes.c_oflag = old.c_oflag;
  modes.c_cflag = old.c_cflag;
  modes.c_lflag = old.c_lflag;
  std::copy(std::begin(old.c_cc), std::end(old.c_cc), modes.c_cc);
  return Set(terminal, modes, flush);
}

ErrnoOr<int64_t> SetNew(Terminal& terminal, const IoctlRequest& request, bool flush) {
  return Set(terminal, TRY(Take<struct termios2>(request)), flush);
}

// Commands that change the terminal stop a background process, whatever TOSTOP says.
bool Changes(uint32_t command) {
  switch (command) {
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
    case TCSBRK:
    case TCSBRKP:
    case TCXONC:
    case TCFLSH:
    case TIOCSETD:
      return true;
    default:
      return false;
  }
}

ErrnoOr<int64_t> Modes(Terminal& terminal, const IoctlRequest& request) {
  switch (request.command) {
    case TCGETS:
      return Put(request, Narrow(terminal.Termios()));
    case TCGETS2:
      return Put(request, terminal.Termios());
    case TCSETS:
    case TCSETSW:  // what was written is on its way already
      return SetOld(terminal, request, false);
    case TCSETSF:
      return SetOld(terminal, request, true);
    case TCSETS2:
    case TCSETSW2:
      return SetNew(terminal, request, false);
    case TCSETSF2:
      return SetNew(terminal, request, true);
    case TIOCGWINSZ:
      return Put(request, terminal.WindowSize());
    case TIOCSWINSZ:
      terminal.SetWindowSize(TRY(Take<struct winsize>(request)));
      return 0;
    default:
      return Errno::kNotTy;
  }
}

ErrnoOr<int64_t> Queues(Terminal& terminal, const IoctlRequest& request) {
  switch (request.command) {
    case TCSBRK:  // tcdrain(3), tcsendbreak(3): there is nothing to wait for
    case TCSBRKP:
      return 0;
    case TCXONC:
      TRY_VOID(terminal.Flow(request.arg));
      return 0;
    case TCFLSH:
      TRY_VOID(terminal.Flush(request.arg));
      return 0;
    case TIOCOUTQ:
      return Put(request, static_cast<int>(terminal.OutputBytes()));
    case TIOCINQ:
      return Put(request, static_cast<int>(terminal.InputBytes()));
    default:
      return Errno::kNotTy;
  }
}

ErrnoOr<int64_t> Rest(Terminal& terminal, const IoctlRequest& request) {
  switch (request.command) {
    case TIOCGETD:
      return Put(request, 0);  // N_TTY
    case TIOCSETD:
      if (TRY(Take<int>(request)) != 0) return Errno::kInval;
      return 0;
    case TIOCEXCL:
    case TIOCNXCL:
      terminal.exclusive.store(request.command == TIOCEXCL);
      return 0;
    case TIOCGEXCL:
      return Put(request, terminal.exclusive.load() ? 1 : 0);
    case TIOCGDEV:
      return Put(request, static_cast<uint32_t>(terminal.device()));
    case TIOCSTI:  // Linux without dev.tty.legacy_tiocsti
      return Errno::kIo;
    default:
      return Errno::kNotTy;
  }
}

}  // namespace

ErrnoOr<int64_t> TerminalIoctl(Terminal& terminal, const IoctlRequest& request, bool master) {
  if (!master && terminal.hung_up()) return request.command == TIOCSPGRP ? Errno::kNotTy : Errno::kIo;
  if (!master && Changes(request.command)) TRY_VOID(CheckForeground(terminal, SIGTTOU));
  for (const auto serve : {&Modes, &Queues, &Rest}) {
    ErrnoOr<int64_t> result = serve(terminal, request);
    if (result.ok() || result.error() != Errno::kNotTy) return result;
  }
  return JobIoctl(terminal, request, master);
}

}  // namespace cloister::tty
