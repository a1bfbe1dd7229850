#include "runsc/container/terminal.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"

namespace cloister::container {
namespace {

constexpr int kMaxPreserved = 64 - 4;  // what one frame can carry beside the monitor and stdio

}  // namespace

absl::StatusOr<Stdio> MakeStdio(const spec::Process& process, const std::string& console_socket,
                                bool attached, int preserve_fds) {
  if (process.terminal && console_socket.empty() && !attached) {
    return absl::InvalidArgumentError(
        "cannot allocate tty if runc will detach without setting console socket");
  }
  if (!process.terminal && !console_socket.empty()) {
    return absl::InvalidArgumentError("cannot use console socket if runc will not detach or allocate tty");
  }
  if (preserve_fds < 0 || preserve_fds > kMaxPreserved) {
    return absl::InvalidArgumentError(absl::StrCat("--preserve-fds must be from 0 to ", kMaxPreserved));
  }
  Stdio stdio;
  for (int fd = 3; fd < 3 + preserve_fds; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) {
      return absl::InvalidArgumentError(absl::StrCat("--preserve-fds: descriptor ", fd, " is not open"));
    }
    stdio.preserved.push_back(fd);
  }
  if (!process.terminal) {
    stdio.fds = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    return stdio;
  }
  stdio.pty = TRY_STATUS(sandbox::OpenPty(process.rows, process.columns));
  // The program sees its size from the first moment on.
  if (console_socket.empty()) sandbox::CopyWindowSize(STDIN_FILENO, stdio.pty->master.get());
  stdio.fds = {stdio.pty->slave.get()};
  return stdio;
}

}  // namespace cloister::container
