#ifndef CLOISTER_RUNSC_CMD_ATTACHED_H_
#define CLOISTER_RUNSC_CMD_ATTACHED_H_

#include <string>

#include "absl/status/statusor.h"
#include "runsc/container/create.h"

namespace cloister::cmd {

struct AttachedOptions {
  bool detach = false;      // return as soon as the process runs
  bool keep = false;        // do not delete the container at its end
  std::string status_file;  // if not empty: gets the end as JSON, {"exitCode":N} or {"signal":N}
};

// create, start, and unless detached: stand before it until it ends and delete it. The exit status
// is the process'. On an error nothing is left.
absl::StatusOr<int> RunContainer(const container::Runtime& runtime, container::CreateOptions create,
                                 const AttachedOptions& options);

}  // namespace cloister::cmd

#endif  // CLOISTER_RUNSC_CMD_ATTACHED_H_
