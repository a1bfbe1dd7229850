#ifndef CLOISTER_PLATFORM_FILTER_TRACEE_FILTER_H_
#define CLOISTER_PLATFORM_FILTER_TRACEE_FILTER_H_

#include <linux/filter.h>

#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/filter/stub_filter.h"

namespace cloister::filter {

// The host calls that a tracer makes in the threads it traces (platform/ptrace).
std::span<const StubRule> TraceeRules();

// The seccomp filter of traced processes: a second wall. No call of a guest reaches it, since the tracer
// takes each away before. The three calls of the vsyscall page, which the host makes by itself, trap
// (SIGSYS); all that is not on the list kills the process.
absl::StatusOr<std::vector<sock_filter>> BuildTraceeFilter();

}  // namespace cloister::filter

#endif  // CLOISTER_PLATFORM_FILTER_TRACEE_FILTER_H_
