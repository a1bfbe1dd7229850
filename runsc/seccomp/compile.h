#ifndef CLOISTER_RUNSC_SECCOMP_COMPILE_H_
#define CLOISTER_RUNSC_SECCOMP_COMPILE_H_

#include <linux/filter.h>

#include <vector>

#include "absl/status/statusor.h"
#include "runsc/spec/seccomp.h"

namespace cloister::seccomp {

// The filter as runc would install it. Names of system calls that libseccomp does not know are left out, as
// are architectures of which a guest can make no calls. A call with a higher number than all that are named
// is newer than the profile: it gets ENOSYS where the default action is no kind of allowance.
absl::StatusOr<std::vector<sock_filter>> Compile(const spec::Seccomp& profile);

}  // namespace cloister::seccomp

#endif  // CLOISTER_RUNSC_SECCOMP_COMPILE_H_
