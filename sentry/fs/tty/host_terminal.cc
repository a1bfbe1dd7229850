#include "sentry/fs/tty/host_terminal.h"

#include <asm/termbits.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error/status.h"
#include "sentry/fs/tty/devpts.h"

namespace cloister::tty {
namespace {

// For so long the sandbox' end waits for a host that takes nothing.
constexpr int kPatienceMs = 1000;

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

absl::StatusOr<Ref<HostTerminal>> HostTerminal::Make(task::Kernel& kernel, unsigned index, UniqueFd fd,
                                                     Ref<DevPts> devpts) {
  RETURN_IF_ERROR(MakeRaw(fd.get()));
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) return HostErrorNow("O_NONBLOCK");
  const int number = fd.get();
  auto terminal = MakeRef<HostTerminal>(kernel, index, std::move(fd), std::move(devpts));
  terminal->WindowMayHaveChanged();
  RETURN_IF_ERROR(wait::Poller::Get().Watch(number, *terminal));
  return terminal;
}

HostTerminal::HostTerminal(task::Kernel& kernel, unsigned index, UniqueFd fd, Ref<DevPts> devpts)
    : Terminal(kernel, index), devpts_(std::move(devpts)), fd_(std::move(fd)) {}

HostTerminal::~HostTerminal() {
  absl::MutexLock lock(&mu_);
  if (fd_.ok()) wait::Poller::Get().Unwatch(fd_.get());
}

void HostTerminal::WindowMayHaveChanged() {
  struct winsize size = {};
  {
    absl::MutexLock lock(&mu_);
    if (!fd_.ok() || ioctl(fd_.get(), TIOCGWINSZ, &size) != 0) return;
  }
  SetWindowSize(size);
}

void HostTerminal::Drain() {
  for (;;) {
    pollfd entry = {-1, POLLOUT, 0};
    {
      absl::MutexLock lock(&mu_);
      if (!gone_) PushLocked(output_.size());
      if (gone_ || output_.empty()) return;
      entry.fd = fd_.get();
    }
    // Whoever closes the descriptor meanwhile is at its end, and so is this.
    if (poll(&entry, 1, kPatienceMs) <= 0) return;
  }
}

void HostTerminal::OnOpen() {
  absl::MutexLock lock(&mu_);
  ++opens_;
  was_opened_ = true;
}

void HostTerminal::OnClose() {
  absl::MutexLock lock(&mu_);
  --opens_;
  EndIfUnusedLocked();
}

// Under Kernel::tree_mu(): a part of this terminal's end takes it too, so it is done later.
pid_t HostTerminal::Disassociate() {
  const pid_t foreground = Terminal::Disassociate();
  wait::Poller::Get().Post([self = Ref<HostTerminal>(this)] { self->EndIfUnused(); });
  return foreground;
}

bool HostTerminal::IsUnusedLocked() const { return was_opened_ && opens_ == 0 && session() == 0; }

void HostTerminal::EndIfUnused() {
  absl::MutexLock lock(&mu_);
  EndIfUnusedLocked();
}

void HostTerminal::EndIfUnusedLocked() {
  if (gone_ || !IsUnusedLocked()) return;
  PushLocked(output_.size());
  if (output_.empty()) GoneLocked();
}

// Hanging up takes the kernel's lock, so it is done later.
void HostTerminal::GoneLocked() {
  if (gone_) return;
  gone_ = true;
  pending_ = false;
  wait::Poller::Get().Post([self = Ref<HostTerminal>(this)] { self->End(); });
}

void HostTerminal::End() {
  devpts_->Remove(*this);
  HangUp();
  absl::MutexLock lock(&mu_);
  wait::Poller::Get().Unwatch(fd_.get());
  fd_.reset();
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

void HostTerminal::PushLocked(size_t most) {
  size_t sent = 0;
  while (sent < most) {
    const ssize_t put = write(fd_.get(), output_.data() + sent, most - sent);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) break;
    if (put <= 0) {
      GoneLocked();
      break;
    }
    sent += static_cast<size_t>(put);
  }
  output_.erase(0, sent);
}

void HostTerminal::OutputChangedLocked(bool, After* after) {
  const bool full = output_.size() >= kOutputLimit;
  if (!gone_) PushLocked(SendableLocked());
  if (full && output_.size() < kOutputLimit) after->programs |= Poll::kOut;
}

void HostTerminal::OnHostEvents(Poll events) {
  // The news of another size comes through the monitor and may be overtaken by the keys behind it.
  WindowMayHaveChanged();
  After after;
  {
    absl::MutexLock lock(&mu_);
    if (gone_) return;
    pending_ = true;
    PullLocked(&after);
    if (events.Any(Poll::kOut)) OutputChangedLocked(false, &after);
    if (events.Any(Poll::kHup | Poll::kErr) && !pending_) GoneLocked();
    EndIfUnusedLocked();
  }
  Finish(after);
}

}  // namespace cloister::tty
