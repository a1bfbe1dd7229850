#include <cstdio>

#include "base/error/status.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"

namespace cloister::cmd {

absl::StatusOr<int> RunState(const Globals& globals, const Args& args) {
  Flags flags("runsc state", "ID", "Prints a container's state.");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "state", 1, 1));
  const container::Container container =
      TRY_STATUS(container::Container::Open(globals.runtime.root, flags.positionals()[0]));
  printf("%s\n", spec::OciState(container.state(), container.Status(), "  ").c_str());
  return 0;
}

}  // namespace cloister::cmd
