#ifndef CLOISTER_SENTRY_SYSCALLS_TIME_ARGUMENTS_H_
#define CLOISTER_SENTRY_SYSCALLS_TIME_ARGUMENTS_H_

#include <time.h>

#include <cstdint>

#include "base/error/errno_or.h"
#include "sentry/task/task.h"
#include "sentry/wait/block.h"

// Times as syscalls take them, in nanoseconds.

namespace cloister::syscalls {

// A struct timespec that must be a duration: kInval where negative or not normalised.
ErrnoOr<int64_t> DurationOf(const timespec& time);
ErrnoOr<int64_t> CopyInDuration(const task::Task& task, uint64_t addr);
// A struct timeval likewise.
ErrnoOr<int64_t> CopyInTimevalDuration(const task::Task& task, uint64_t addr);
timespec ToTimespec(int64_t ns);

// The monotonic moment that lies ns from now; far away ones are never.
wait::MonotonicNs DeadlineAfter(int64_t ns);
// The monotonic moment at which CLOCK_REALTIME shows ns (as the clock stands now).
wait::MonotonicNs DeadlineAtRealtime(int64_t ns);

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_TIME_ARGUMENTS_H_
