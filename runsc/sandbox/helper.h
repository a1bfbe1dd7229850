#ifndef CLOISTER_RUNSC_SANDBOX_HELPER_H_
#define CLOISTER_RUNSC_SANDBOX_HELPER_H_

#include <functional>

#include "absl/status/status.h"

namespace cloister::sandbox {

// Runs body in a helper process that shares memory and descriptors with the caller, which waits; what body
// returns is returned. So nobody has to come back out of what body enters, a namespace or a control group,
// which needs a privilege that a rootless caller lacks. Processes that body makes with CLONE_PARENT are
// children of the caller.
absl::Status RunInHelper(const std::function<absl::Status()>& body);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_HELPER_H_
