#include "sentry/fs/event/event_fd.h"

#include <limits>

#include "absl/strings/str_format.h"

namespace cloister::event {
namespace {

constexpr uint64_t kLargest = std::numeric_limits<uint64_t>::max() - 1;

}  // namespace

EventFd::EventFd(int flags, auth::CredRef cred, uint64_t count, Mode mode)
    : AnonFile(flags, std::move(cred), "[eventfd]"), mode_(mode), count_(count) {}

uint64_t EventFd::TakeLocked() {
  const uint64_t taken = mode_ == Mode::kSemaphore ? 1 : count_;
  count_ -= taken;
  return taken;
}

ErrnoOr<size_t> EventFd::Read(UserBuffer& dst) {
  if (dst.size() < sizeof(uint64_t)) return Errno::kInval;
  uint64_t taken;
  {
    absl::MutexLock lock(&mu_);
    if (count_ == 0) return Errno::kAgain;
    taken = TakeLocked();
  }
  queue_.Notify(Poll::kOut);
  TRY_VOID(dst.CopyOutObject(taken));  // as in Linux, spent even if the copy faults
  return sizeof(taken);
}

ErrnoOr<size_t> EventFd::Write(UserBuffer& src) {
  if (src.size() != sizeof(uint64_t)) return Errno::kInval;  // since Linux 6.9
  UserBuffer ahead = src;  // the buffer's cursor moves only when the value is taken
  const uint64_t added = TRY(ahead.CopyInObject<uint64_t>());
  if (added > kLargest) return Errno::kInval;
  {
    absl::MutexLock lock(&mu_);
    if (added > kLargest - count_) return Errno::kAgain;
    count_ += added;
  }
  queue_.Notify(Poll::kIn);
  src.Skip(sizeof(added));
  return sizeof(added);
}

Poll EventFd::Ready() const {
  absl::MutexLock lock(&mu_);
  Poll ready;
  if (count_ > 0) ready |= Poll::kIn;
  if (count_ < kLargest) ready |= Poll::kOut;
  return ready;
}

std::string EventFd::FdInfo() const {
  absl::MutexLock lock(&mu_);
  return absl::StrFormat("eventfd-count: %16x\n", count_);
}

}  // namespace cloister::event
