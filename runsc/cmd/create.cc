#include "base/error/status.h"
#include "runsc/cmd/bundle.h"
#include "runsc/cmd/verb.h"

namespace cloister::cmd {

absl::StatusOr<int> RunCreate(const Globals& globals, const Args& args) {
  BundleFlags bundle;
  Flags flags("runsc create", "[options] ID", "Makes a container from a bundle; \"start\" runs its process.");
  bundle.Declare(&flags);
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "create", 1, 1));
  const container::CreateOptions options = TRY_STATUS(LoadBundle(bundle, flags.positionals()[0]));
  RETURN_IF_ERROR(container::Create(globals.runtime, options).status());
  return 0;
}

}  // namespace cloister::cmd
