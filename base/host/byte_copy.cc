#include "base/host/byte_copy.h"

#include <unistd.h>

#include <cerrno>

namespace cloister {
namespace {

constexpr int kQuietMilliseconds = 50;
constexpr int kDrainMilliseconds = 1000;

bool WouldBlock() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

void ByteCopy::Fill() {
  const ssize_t got = read(from_, buffer_, sizeof buffer_);
  if (got < 0 && WouldBlock()) return;
  // EIO on a pty's master: every slave is closed.
  if (got <= 0) {
    open_ = false;
    return;
  }
  begin_ = 0;
  end_ = static_cast<size_t>(got);
}

void ByteCopy::Drain() {
  const ssize_t put = write(to_, buffer_ + begin_, end_ - begin_);
  if (put < 0 && WouldBlock()) return;
  if (put < 0) {
    open_ = false;
    begin_ = end_;
    return;
  }
  begin_ += static_cast<size_t>(put);
}

pollfd ByteCopy::Interest() const {
  if (pending()) return {to_, POLLOUT, 0};
  return {open_ ? from_ : -1, POLLIN, 0};
}

void ByteCopy::Step(const pollfd& entry) {
  if (entry.fd < 0 || entry.revents == 0) return;
  if (pending()) {
    Drain();
  } else {
    Fill();
  }
}

void ByteCopy::Flush() {
  while (open_) {
    if (pending()) {
      pollfd entry = {to_, POLLOUT, 0};
      if (poll(&entry, 1, kDrainMilliseconds) <= 0) return;
      Drain();
      continue;
    }
    pollfd entry = {from_, POLLIN, 0};
    if (poll(&entry, 1, kQuietMilliseconds) <= 0) return;
    Fill();
  }
}

}  // namespace cloister
