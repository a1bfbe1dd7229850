#ifndef CLOISTER_RUNSC_CMD_BUNDLE_H_
#define CLOISTER_RUNSC_CMD_BUNDLE_H_

#include <string>

#include "absl/status/statusor.h"
#include "runsc/cmd/flags.h"
#include "runsc/container/create.h"

namespace cloister::cmd {

// The options that create and run share.
struct BundleFlags {
  std::string bundle;
  std::string config = "config.json";  // seen from the bundle
  std::string console_socket;
  std::string pid_file;
  int preserve_fds = 0;
  bool no_pivot = false;
  bool no_new_keyring = false;

  void Declare(Flags* flags);
};

// Reads and checks the bundle's config.json.
absl::StatusOr<container::CreateOptions> LoadBundle(const BundleFlags& flags, const std::string& id);

// path, seen from the current directory.
absl::StatusOr<std::string> AbsolutePath(const std::string& path);

}  // namespace cloister::cmd

#endif  // CLOISTER_RUNSC_CMD_BUNDLE_H_
