#include "runsc/spec/spec.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "runsc/cmd/bundle.h"
#include "runsc/cmd/verb.h"

namespace cloister::cmd {

absl::StatusOr<int> RunSpec(const Globals&, const Args& args) {
  std::string bundle;
  bool rootless = false;
  Flags flags("runsc spec", "[options]", "Writes a config.json to begin with.");
  flags.String("bundle,b", &bundle, "directory for it; the current one if not given");
  flags.Bool("rootless", &rootless, "for a user without privilege");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "spec", 0, 0));
  const std::string path = absl::StrCat(TRY_STATUS(AbsolutePath(bundle)), "/config.json");
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file.ok() && errno == EEXIST) {
    return absl::AlreadyExistsError(absl::StrCat("File ", path, " exists. Remove it first"));
  }
  if (!file.ok()) return HostErrorNow(absl::StrCat("open ", path));
  const std::string text = spec::DefaultConfig(rootless);
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return HostErrorNow(absl::StrCat("write ", path));
  }
  return 0;
}

}  // namespace cloister::cmd
