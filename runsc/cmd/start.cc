#include "base/error/status.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"

namespace cloister::cmd {

absl::StatusOr<int> RunStart(const Globals& globals, const Args& args) {
  Flags flags("runsc start", "ID", "Runs the process of a created container.");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "start", 1, 1));
  container::Container container =
      TRY_STATUS(container::Container::Open(globals.runtime.root, flags.positionals()[0]));
  RETURN_IF_ERROR(container.Start());
  return 0;
}

}  // namespace cloister::cmd
