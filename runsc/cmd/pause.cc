#include "base/error/status.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"

namespace cloister::cmd {

absl::StatusOr<int> RunPause(const Globals& globals, const Args& args) {
  Flags flags("runsc pause", "ID", "Stops all processes of a container for a while.");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "pause", 1, 1));
  container::Container container =
      TRY_STATUS(container::Container::Open(globals.runtime.root, flags.positionals()[0]));
  RETURN_IF_ERROR(container.Pause());
  return 0;
}

}  // namespace cloister::cmd
