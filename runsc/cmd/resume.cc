#include "base/error/status.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"

namespace cloister::cmd {

absl::StatusOr<int> RunResume(const Globals& globals, const Args& args) {
  Flags flags("runsc resume", "ID", "Lets a paused container go on.");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "resume", 1, 1));
  container::Container container =
      TRY_STATUS(container::Container::Open(globals.runtime.root, flags.positionals()[0]));
  RETURN_IF_ERROR(container.Resume());
  return 0;
}

}  // namespace cloister::cmd
