#include "runsc/cmd/bundle.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"

namespace cloister::cmd {

void BundleFlags::Declare(Flags* flags) {
  flags->String("bundle,b", &bundle, "directory with config.json; the current one if not given");
  flags->String("config,f", &config, "file to read instead of the bundle's config.json");
  flags->String("console-socket", &console_socket, "unix socket that receives the terminal's master");
  flags->String("pid-file", &pid_file, "file to write the process id to");
  flags->Int("preserve-fds", &preserve_fds, "hand on so many more descriptors, from 3");
  flags->Bool("no-pivot", &no_pivot, "accepted");
  flags->Bool("no-new-keyring", &no_new_keyring, "accepted");
}

absl::StatusOr<std::string> AbsolutePath(const std::string& path) {
  if (!path.empty() && path[0] == '/') return spec::CleanPath(path);
  char directory[4096];
  if (getcwd(directory, sizeof directory) == nullptr) return HostErrorNow("getcwd");
  return spec::CleanPath(absl::StrCat(directory, "/", path));
}

absl::StatusOr<container::CreateOptions> LoadBundle(const BundleFlags& flags, const std::string& id) {
  container::CreateOptions options;
  options.id = id;
  options.bundle = TRY_STATUS(AbsolutePath(flags.bundle));
  if (!flags.pid_file.empty()) options.pid_file = TRY_STATUS(AbsolutePath(flags.pid_file));
  options.console_socket = flags.console_socket;
  options.preserve_fds = flags.preserve_fds;
  const std::string path =
      flags.config[0] == '/' ? flags.config : absl::StrCat(options.bundle, "/", flags.config);
  absl::StatusOr<std::string> text = spec::ReadTextFile(path);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(absl::StrCat("JSON specification file ", path, " not found"));
  }
  if (!text.ok()) return text.status();
  options.config_text = *std::move(text);
  absl::StatusOr<spec::Spec> spec = spec::ParseSpec(options.config_text);
  if (!spec.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", spec.status().message()));
  options.spec = *std::move(spec);
  return options;
}

}  // namespace cloister::cmd
