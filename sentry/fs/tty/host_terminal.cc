#include "sentry/fs/tty/host_terminal.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error/status.h"

namespace cloister::tty {
namespace {

// cfmakeraw(3).
absl::Status MakeRaw(int fd) {
  struct termios modes;
  if (ioctl(fd, TCGETS, &modes) != 0) return HostErrorNow("TCGETS");
  modes.c_iflag &= ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  modes.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  modes.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  modes.c_cflag &= ~static_cast<tcflag_t>(CSIZE | PARENB);
  modes.c_cflag |= CS8;
  modes.c_cc[VMIN] = 1;
  modes.c_cc[VTIME] = 0;
  if (ioctl(fd, TCSETS, &modes) != 0) return HostErrorNow("TCSETS");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Ref<HostTerminal>> HostTerminal::Make(task::Kernel& kernel, unsigned index, UniqueFd fd) {
  RETURN_IF_ERROR(MakeRaw(fd.get()));
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) return HostErrorNow("O_NONBLOCK");
  auto terminal = MakeRef<HostTerminal>(kernel, index, std::move(fd));
  terminal->WindowMayHaveChanged();
  RETURN_IF_ERROR(wait::Poller::Get().Watch(terminal->fd_.get(), *terminal));
  return terminal;
}

HostTerminal::HostTerminal(task::Kernel& kernel, unsigned index, UniqueFd fd)
    : Terminal(kernel, index), fd_(std::move(fd)) {}

HostTerminal::~HostTerminal() { wait::Poller::Get().Unwatch(fd_.get()); }

void HostTerminal::WindowMayHaveChanged() {
  struct winsize size = {};
  if (ioctl(fd_.get(), TIOCGWINSZ, &size) == 0) SetWindowSize(size);
}

// The master was closed. Hanging up takes the kernel's lock, so it is done later.
void HostTerminal::GoneLocked() {
  if (gone_) return;
  gone_ = true;
  pending_ = false;
  wait::Poller::Get().Post([self = Ref<HostTerminal>(this)] { self->HangUp(); });
}

void HostTerminal::PullLocked(After* after) {
  char bytes[1024];
  while (pending_) {
    const size_t room = std::min(discipline_.Room(), sizeof bytes);
    if (room == 0) return;
    const ssize_t got = read(fd_.get(), bytes, room);
    if (got > 0) {
      InputLocked(std::string_view(bytes, static_cast<size_t>(got)), after);
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else if (got < 0 && errno == EAGAIN) {
      pending_ = false;
    } else {
      GoneLocked();
    }
  }
}

void HostTerminal::RoomLocked(After* after) { PullLocked(after); }

void HostTerminal::OutputChangedLocked(bool, After* after) {
  const bool full = output_.size() >= kOutputLimit;
  size_t sent = 0;
  const size_t sendable = gone_ ? 0 : SendableLocked();
  while (sent < sendable) {
    const ssize_t put = write(fd_.get(), output_.data() + sent, sendable - sent);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) break;
    if (put <= 0) {
      GoneLocked();
      break;
    }
    sent += static_cast<size_t>(put);
  }
  output_.erase(0, sent);
  if (full && output_.size() < kOutputLimit) after->programs |= Poll::kOut;
}

void HostTerminal::OnHostEvents(Poll events) {
  After after;
  {
    absl::MutexLock lock(&mu_);
    if (gone_) return;
    pending_ = true;
    PullLocked(&after);
    if (events.Any(Poll::kOut)) OutputChangedLocked(false, &after);
    if (events.Any(Poll::kHup | Poll::kErr) && !pending_) GoneLocked();
  }
  Finish(after);
}

}  // namespace cloister::tty
