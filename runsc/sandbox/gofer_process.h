#ifndef CLOISTER_RUNSC_SANDBOX_GOFER_PROCESS_H_
#define CLOISTER_RUNSC_SANDBOX_GOFER_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"

namespace cloister::sandbox {

// One host file or directory for the container; its index is gofer_mount in control.proto (0: root).
struct AttachPoint {
  UniqueFd fd;  // O_PATH
  bool readonly = false;
  bool device_nodes = false;
};

struct GoferProcess {
  pid_t pid = 0;
  UniqueFd channel;  // the sentry's end
  UniqueFd errors;   // read end of its standard error: one line if it could not start
};

// Starts the gofer; it locks itself in. log -1: none. clone_flags: CLONE_PARENT within RunInHelper.
absl::StatusOr<GoferProcess> StartGofer(const std::vector<AttachPoint>& attach, int log,
                                        const std::string& log_level, uint64_t clone_flags);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_GOFER_PROCESS_H_
