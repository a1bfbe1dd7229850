#include "base/error/status.h"
#include "runsc/cmd/signals.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"

namespace cloister::cmd {

absl::StatusOr<int> RunKill(const Globals& globals, const Args& args) {
  bool all = false;
  Flags flags("runsc kill", "[options] ID [SIGNAL]",
              "Sends a signal (default TERM) to a container's first process.");
  flags.Bool("all,a", &all, "to every process of the container");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "kill", 1, 2));
  const Args& words = flags.positionals();
  const int signal = TRY_STATUS(ParseSignal(words.size() > 1 ? words[1] : "TERM"));
  container::Container container = TRY_STATUS(container::Container::Open(globals.runtime.root, words[0]));
  RETURN_IF_ERROR(container.Signal(signal, all));
  return 0;
}

}  // namespace cloister::cmd
