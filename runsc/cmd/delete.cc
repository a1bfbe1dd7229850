#include "base/error/status.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"

namespace cloister::cmd {

absl::StatusOr<int> RunDelete(const Globals& globals, const Args& args) {
  bool force = false;
  Flags flags("runsc delete", "[options] ID", "Removes a container and what it left.");
  flags.Bool("force,f", &force, "kill it if it runs; no error if there is none");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "delete", 1, 1));
  absl::StatusOr<container::Container> container =
      container::Container::Open(globals.runtime.root, flags.positionals()[0]);
  absl::Status status = container.status();
  if (container.ok()) status = container->Delete(force);
  if (force && absl::IsNotFound(status)) return 0;
  RETURN_IF_ERROR(status);
  return 0;
}

}  // namespace cloister::cmd
