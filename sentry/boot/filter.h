#ifndef CLOISTER_SENTRY_BOOT_FILTER_H_
#define CLOISTER_SENTRY_BOOT_FILTER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"

namespace cloister::boot {

// How guests are intercepted: the platform that the sentry runs on.
enum class Interception { kSystrap, kPtrace };

// One host syscall that the sentry may make once the guest runs, and why.
struct AllowedSyscall {
  int number;
  const char* name;
  const char* reason;
};

// The whole list: what "runsc debug filters" prints and a test holds to at most 60.
std::vector<AllowedSyscall> SentrySyscalls(Interception interception);

// ioctl(2) commands that may pass; every other is refused.
struct AllowedIoctl {
  unsigned long command;
  const char* name;
};
std::vector<AllowedIoctl> SentryIoctls(Interception interception);

// Confines every thread of this process for good. A call outside the list ends the sandbox; the
// log (log_fd) then names it. gofer::kDoorbellNr goes to the listener that is returned; none where
// the host gives no listener, as under a filter that has one already.
absl::StatusOr<UniqueFd> LoadSentryFilter(Interception interception, int log_fd);

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_FILTER_H_
