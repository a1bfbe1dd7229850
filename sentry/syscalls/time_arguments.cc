#include "sentry/syscalls/time_arguments.h"

#include <sys/time.h>

#include <algorithm>

namespace cloister::syscalls {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMaxSeconds = INT64_MAX / kSecond - 1;

}  // namespace

ErrnoOr<int64_t> DurationOf(const timespec& time) {
  if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= kSecond) return Errno::kInval;
  return std::min<int64_t>(time.tv_sec, kMaxSeconds) * kSecond + time.tv_nsec;
}

ErrnoOr<int64_t> CopyInDuration(const task::Task& task, uint64_t addr) {
  return DurationOf(TRY(task.CopyIn(usermem::UserPtr<const timespec>(addr))));
}

ErrnoOr<int64_t> CopyInTimevalDuration(const task::Task& task, uint64_t addr) {
  const timeval time = TRY(task.CopyIn(usermem::UserPtr<const timeval>(addr)));
  if (time.tv_usec < 0 || time.tv_usec >= 1'000'000) return Errno::kInval;
  return DurationOf({time.tv_sec, time.tv_usec * 1000});
}

timespec ToTimespec(int64_t ns) { return {ns / kSecond, ns % kSecond}; }

wait::MonotonicNs DeadlineAfter(int64_t ns) {
  const wait::MonotonicNs now = wait::MonotonicNow();
  return ns >= wait::kNever - now ? wait::kNever : now + ns;
}

wait::MonotonicNs DeadlineAtRealtime(int64_t ns) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return DeadlineAfter(std::max<int64_t>(0, ns - (now.tv_sec * kSecond + now.tv_nsec)));
}

}  // namespace cloister::syscalls
