#ifndef CLOISTER_RUNSC_CONTAINER_EXEC_H_
#define CLOISTER_RUNSC_CONTAINER_EXEC_H_

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "runsc/container/container.h"
#include "runsc/spec/spec.h"

namespace cloister::container {

struct ExecOptions {
  spec::Process process;
  std::string pid_file;
  std::string console_socket;
  int preserve_fds = 0;
  bool attached = false;
  bool ignore_paused = false;
};

struct ExecdProcess {
  pid_t monitor = 0;  // the caller's child
  UniqueFd master;    // of the terminal, if no console socket took it
  UniqueFd leash;     // attached: the process lives no longer than this is open
};

// Starts one more process in a container. The caller's descriptors 0, 1 and 2 become its own, unless
// it has a terminal. On an error nothing is left.
absl::StatusOr<ExecdProcess> Exec(Container& container, const ExecOptions& options);

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_EXEC_H_
