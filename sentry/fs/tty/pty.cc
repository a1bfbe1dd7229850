#include "sentry/fs/tty/pty.h"

#include <algorithm>

namespace cloister::tty {

void Pty::OnOpen() {
  absl::MutexLock lock(&mu_);
  ++opens_;
  was_opened_ = true;
}

void Pty::OnClose() {
  {
    absl::MutexLock lock(&mu_);
    if (--opens_ > 0) return;
  }
  master_queue_.Notify(Poll::kIn | Poll::kHup);
}

void Pty::OutputChangedLocked(bool flushed, After* after) {
  if (flushed) AddStatusLocked(TIOCPKT_FLUSHWRITE, after);
  if (SendableLocked() > 0) after->keyboard |= Poll::kIn;
}

void Pty::RoomLocked(After* after) {
  if (!master_waits_ || discipline_.Room() == 0) return;
  master_waits_ = false;
  after->keyboard |= Poll::kOut;
}

void Pty::AddStatusLocked(uint8_t status, After* after) {
  if (!packet_) return;
  status_ |= status;
  after->keyboard |= Poll::kIn | Poll::kPri;
}

// tty_ioctl(4), "Packet mode": whether ^S and ^Q work is told to the master.
void Pty::ModesChangedLocked(const struct termios2& before, After* after) {
  const auto stops = [](const struct termios2& modes) {
    return (modes.c_iflag & IXON) != 0 && modes.c_cc[VSTART] == 17 && modes.c_cc[VSTOP] == 19;
  };
  const bool now = stops(discipline_.termios());
  if (stops(before) == now) return;
  status_ &= static_cast<uint8_t>(~(TIOCPKT_DOSTOP | TIOCPKT_NOSTOP));
  AddStatusLocked(now ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP, after);
}

ErrnoOr<size_t> Pty::MasterRead(UserBuffer& dst) {
  if (dst.empty()) return 0;
  After after;
  std::string bytes;
  {
    absl::MutexLock lock(&mu_);
    if (packet_) {
      bytes.push_back(static_cast<char>(status_));
      if (status_ != 0) {
        status_ = 0;
        return dst.CopyOut(std::as_bytes(std::span(bytes)));
      }
    }
    const size_t size = std::min(SendableLocked(), dst.size() - bytes.size());
    if (size == 0 && SendableLocked() == 0) {
      if (was_opened_ && opens_ == 0) return Errno::kIo;
      return Errno::kAgain;
    }
    const bool full = output_.size() >= kOutputLimit;
    bytes.append(output_, 0, size);
    output_.erase(0, size);
    if (full && output_.size() < kOutputLimit) after.programs |= Poll::kOut;
  }
  Finish(after);
  return dst.CopyOut(std::as_bytes(std::span(bytes)));
}

ErrnoOr<size_t> Pty::MasterWrite(UserBuffer& src) {
  if (src.empty()) return 0;
  size_t done = 0;
  while (!src.empty()) {
    char bytes[1024];
    size_t room;
    {
      absl::MutexLock lock(&mu_);
      room = std::min(discipline_.Room(), sizeof bytes);
      master_waits_ = room == 0;
    }
    if (room == 0) break;
    const size_t size = std::min(room, src.size());
    const ErrnoOr<size_t> got = src.CopyIn(std::as_writable_bytes(std::span(bytes, size)));
    if (!got.ok()) {
      if (done == 0) return got.error();
      break;
    }
    After after;
    {
      absl::MutexLock lock(&mu_);
      InputLocked(std::string_view(bytes, *got), &after);
    }
    Finish(after);
    done += *got;
    if (*got < size) break;
  }
  if (done == 0) return Errno::kAgain;
  return done;
}

Poll Pty::MasterReady() const {
  absl::MutexLock lock(&mu_);
  Poll ready;
  if (SendableLocked() > 0) ready |= Poll::kIn;
  if (status_ != 0) ready |= Poll::kIn | Poll::kPri;
  if (discipline_.Room() > 0) ready |= Poll::kOut;
  if (was_opened_ && opens_ == 0) ready |= Poll::kHup;
  return ready;
}

size_t Pty::MasterBytes() const {
  absl::MutexLock lock(&mu_);
  return SendableLocked();
}

void Pty::SetPacketMode(bool on) {
  absl::MutexLock lock(&mu_);
  packet_ = on;
  status_ = 0;
}

bool Pty::packet_mode() const {
  absl::MutexLock lock(&mu_);
  return packet_;
}

}  // namespace cloister::tty
