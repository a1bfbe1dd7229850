#include "base/error/status.h"
#include "runsc/cmd/attached.h"
#include "runsc/cmd/bundle.h"
#include "runsc/cmd/verb.h"

namespace cloister::cmd {

absl::StatusOr<int> RunRun(const Globals& globals, const Args& args) {
  BundleFlags bundle;
  AttachedOptions attached;
  bool no_subreaper = false;
  Flags flags("runsc run", "[options] ID", "Makes a container from a bundle and runs it.");
  flags.StopAtPositional();
  bundle.Declare(&flags);
  flags.Bool("detach,d", &attached.detach, "return when the process runs");
  flags.Bool("keep", &attached.keep, "do not delete the container when it has ended");
  flags.String("status-file", &attached.status_file,
               "write how the process ended here, as JSON: {\"exitCode\":N} or {\"signal\":N}");
  flags.Bool("no-subreaper", &no_subreaper, "accepted");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "run", 1, 1));
  container::CreateOptions options = TRY_STATUS(LoadBundle(bundle, flags.positionals()[0]));
  options.verb = "run";
  return RunContainer(globals.runtime, std::move(options), attached);
}

}  // namespace cloister::cmd
