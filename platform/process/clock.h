#ifndef CLOISTER_PLATFORM_PROCESS_CLOCK_H_
#define CLOISTER_PLATFORM_PROCESS_CLOCK_H_

#include <sys/types.h>

#include <cstdint>

namespace cloister::process {

// Nanoseconds of CLOCK_MONOTONIC.
int64_t NowNs();

// CPU time that a process has used, in nanoseconds, clock_getcpuclockid(3); 0 where it is gone. (That of one
// thread alone is told to its own process only.)
int64_t CpuTimeNs(pid_t pid);

}  // namespace cloister::process

#endif  // CLOISTER_PLATFORM_PROCESS_CLOCK_H_
