#include "runsc/sandbox/pty.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/fd_passing.h"

namespace cloister::sandbox {
namespace {

constexpr timeval kConsolePatience = {30, 0};

}  // namespace

absl::StatusOr<Pty> OpenPty(uint32_t rows, uint32_t columns) {
  Pty pty;
  pty.master.reset(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.master.ok()) return HostErrorNow("open /dev/ptmx");
  int unlock = 0;
  if (ioctl(pty.master.get(), TIOCSPTLCK, &unlock) != 0) return HostErrorNow("TIOCSPTLCK");
  int number;
  if (ioctl(pty.master.get(), TIOCGPTN, &number) != 0) return HostErrorNow("TIOCGPTN");
  pty.name = absl::StrCat("/dev/pts/", number);
  pty.slave.reset(ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.slave.ok()) return HostErrorNow("TIOCGPTPEER");
  if (rows != 0 || columns != 0) {
    const winsize size = {static_cast<unsigned short>(rows), static_cast<unsigned short>(columns), 0, 0};
    if (ioctl(pty.master.get(), TIOCSWINSZ, &size) != 0) return HostErrorNow("TIOCSWINSZ");
  }
  return pty;
}

absl::Status SendConsole(const std::string& socket_path, const Pty& pty) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.ok()) return HostErrorNow("socket");
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kConsolePatience, sizeof kConsolePatience);
  sockaddr_un address = {.sun_family = AF_UNIX};
  if (socket_path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("console socket ", socket_path, ": the path is too long"));
  }
  memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return HostErrorNow(absl::StrCat("console socket ", socket_path));
  }
  const int master = pty.master.get();
  return SendWithFds(socket.get(), std::as_bytes(std::span(pty.name)), std::span(&master, 1));
}

RawTerminal::RawTerminal(int fd) : fd_(fd) {
  if (tcgetattr(fd_, &before_) != 0) return;
  termios raw = before_;
  cfmakeraw(&raw);
  changed_ = tcsetattr(fd_, TCSANOW, &raw) == 0;
}

RawTerminal::~RawTerminal() {
  if (!changed_) return;
  // A background process that restores must not be stopped for it.
  struct sigaction ignore = {}, before;
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGTTOU, &ignore, &before);
  tcsetattr(fd_, TCSADRAIN, &before_);
  sigaction(SIGTTOU, &before, nullptr);
}

void CopyWindowSize(int from, int to) {
  winsize size;
  if (ioctl(from, TIOCGWINSZ, &size) == 0) ioctl(to, TIOCSWINSZ, &size);
}

}  // namespace cloister::sandbox
