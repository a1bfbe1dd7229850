#ifndef CLOISTER_RUNSC_CONTAINER_CREATE_H_
#define CLOISTER_RUNSC_CONTAINER_CREATE_H_

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "runsc/container/runtime.h"
#include "runsc/spec/spec.h"

namespace cloister::container {

struct CreateOptions {
  std::string id;
  std::string bundle;       // absolute
  std::string config_text;  // what spec was parsed from; kept in the container's directory
  spec::Spec spec;
  std::string pid_file;         // empty: none
  std::string console_socket;   // empty: none
  int preserve_fds = 0;         // descriptors 3 … 3+n-1 of the caller go to the container
  bool attached = false;        // the caller stays: it may keep a terminal's master
  std::string verb = "create";  // for messages: "runc create failed: …"
};

struct CreatedContainer {
  pid_t monitor = 0;  // the caller's child
  UniqueFd master;    // of the terminal, if there is one and no console socket took it
  UniqueFd leash;     // attached: the container lives no longer than this is open
};

// Makes the container up to the point where its first process waits for Start. The caller's
// descriptors 0, 1 and 2 become the container's, unless it has a terminal. On an error nothing is
// left: no process, no directory.
absl::StatusOr<CreatedContainer> Create(const Runtime& runtime, const CreateOptions& options);

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_CREATE_H_
