#include "platform/process/clock.h"

#include <time.h>

namespace cloister::process {
namespace {

int64_t Nanoseconds(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

// clock_gettime(2), "CLOCK_PROCESS_CPUTIME_ID": the clock of another process.
clockid_t ProcessCpuClock(pid_t pid) {
  return static_cast<clockid_t>((~static_cast<unsigned>(pid) << 3) | 2);
}

}  // namespace

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Nanoseconds(now);
}

int64_t CpuTimeNs(pid_t pid) {
  timespec used;
  return clock_gettime(ProcessCpuClock(pid), &used) == 0 ? Nanoseconds(used) : 0;
}

}  // namespace cloister::process
