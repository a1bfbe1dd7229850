#ifndef CLOISTER_RUNSC_CONTAINER_EXEC_H_
#define CLOISTER_RUNSC_CONTAINER_EXEC_H_

#include <sys/types.h>

#include <array>
#include <string>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "runsc/container/container.h"
#include "runsc/container/hooks.h"
#include "runsc/spec/spec.h"

namespace cloister::container {

struct ExecOptions {
  spec::Process process;
  std::string pid_file;
  std::string console_socket;
  int preserve_fds = 0;
  bool attached = false;
  bool ignore_paused = false;
  std::array<int, 3> streams = {0, 1, 2};  // the caller's, that become its own unless it has a terminal
  bool listed = true;                      // whether "ps" is to know of it
};

struct ExecdProcess {
  pid_t monitor = 0;  // the caller's child
  UniqueFd master;    // of the terminal, if no console socket took it
  UniqueFd leash;     // attached: the process lives no longer than this is open
};

// Starts one more process in a container. On an error nothing is left.
absl::StatusOr<ExecdProcess> Exec(Container& container, const ExecOptions& options);

// Hooks as processes of the container: root's, with the rights and the environment of its first process. Both
// outlive the answer.
HookLauncher InContainer(Container& container, const spec::Spec& spec);

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_EXEC_H_
