#ifndef CLOISTER_RUNSC_SANDBOX_FOREGROUND_H_
#define CLOISTER_RUNSC_SANDBOX_FOREGROUND_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"

namespace cloister::sandbox {

// Stands before an attached container or exec'd process, as a shell's job does: forwards its own
// signals to the monitor, copies between its own terminal (descriptors 0 and 1) and the pty's master
// if there is one, and returns the monitor's wait status. Signals stay blocked behind it. The monitor must be
// a child of the caller.
class Foreground {
 public:
  // Blocks signals from here on, so that none is lost before Run.
  static absl::StatusOr<Foreground> Prepare();

  absl::StatusOr<int> Run(pid_t monitor, UniqueFd master);

 private:
  explicit Foreground(UniqueFd signals) : signals_(std::move(signals)) {}
  UniqueFd signals_;
};

// As a shell says it: the exit code, or 128+n for signal n.
int ShellStatus(int wait_status);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_FOREGROUND_H_
