#include "sentry/fs/event/signal_fd.h"

#include <sys/signalfd.h>

#include "absl/strings/str_format.h"

namespace cloister::event {
namespace {

constexpr uint64_t Bit(int signo) { return uint64_t{1} << (signo - 1); }
constexpr uint64_t kNever = Bit(SIGKILL) | Bit(SIGSTOP);

// Only the fields that si_code says are there, as signalfd_copyinfo in Linux.
signalfd_siginfo ToSignalFd(const siginfo_t& info) {
  signalfd_siginfo result = {};
  result.ssi_signo = static_cast<uint32_t>(info.si_signo);
  result.ssi_errno = info.si_errno;
  result.ssi_code = info.si_code;
  if (info.si_code == SI_TIMER) {
    result.ssi_tid = static_cast<uint32_t>(info.si_timerid);
    result.ssi_overrun = static_cast<uint32_t>(info.si_overrun);
    result.ssi_ptr = reinterpret_cast<uint64_t>(info.si_ptr);
    result.ssi_int = info.si_int;
    return result;
  }
  if (info.si_code > 0 && info.si_code != SI_KERNEL) {
    switch (info.si_signo) {
      case SIGCHLD:
        result.ssi_pid = static_cast<uint32_t>(info.si_pid);
        result.ssi_uid = info.si_uid;
        result.ssi_status = info.si_status;
        result.ssi_utime = static_cast<uint64_t>(info.si_utime);
        result.ssi_stime = static_cast<uint64_t>(info.si_stime);
        return result;
      case SIGPOLL:
        result.ssi_band = static_cast<uint32_t>(info.si_band);
        result.ssi_fd = info.si_fd;
        return result;
      case SIGSEGV:
      case SIGBUS:
      case SIGILL:
      case SIGFPE:
      case SIGTRAP:
        result.ssi_addr = reinterpret_cast<uint64_t>(info.si_addr);
        return result;
      default:
        break;
    }
  }
  result.ssi_pid = static_cast<uint32_t>(info.si_pid);
  result.ssi_uid = info.si_uid;
  result.ssi_ptr = reinterpret_cast<uint64_t>(info.si_ptr);
  result.ssi_int = info.si_int;
  return result;
}

}  // namespace

SignalFd::SignalFd(int flags, auth::CredRef cred, Ref<SignalSource> source, uint64_t mask)
    : AnonFile(flags, std::move(cred), "[signalfd]"), source_(std::move(source)), mask_(mask & ~kNever) {}

void SignalFd::SetMask(uint64_t mask) {
  mask_.store(mask & ~kNever, std::memory_order_release);
  source_->signal_queue().Notify(Poll::kIn);
}

ErrnoOr<size_t> SignalFd::Read(UserBuffer& dst) {
  if (dst.size() < sizeof(signalfd_siginfo)) return Errno::kInval;
  size_t total = 0;
  while (dst.size() >= sizeof(signalfd_siginfo)) {
    const std::optional<siginfo_t> info = source_->Take(mask_.load(std::memory_order_acquire));
    if (!info) break;
    const ErrnoOrVoid copied = dst.CopyOutObject(ToSignalFd(*info));
    if (!copied.ok()) {
      if (total > 0) return total;
      return copied.error();
    }
    total += sizeof(signalfd_siginfo);
  }
  if (total == 0) return Errno::kAgain;
  return total;
}

Poll SignalFd::Ready() const {
  return (source_->Pending() & mask_.load(std::memory_order_acquire)) != 0 ? Poll::kIn : Poll::kNone;
}

std::string SignalFd::FdInfo() const {
  return absl::StrFormat("sigmask:\t%016x\n", mask_.load(std::memory_order_acquire));
}

}  // namespace cloister::event
