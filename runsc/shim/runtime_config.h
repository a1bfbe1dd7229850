#ifndef CLOISTER_RUNSC_SHIM_RUNTIME_CONFIG_H_
#define CLOISTER_RUNSC_SHIM_RUNTIME_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runsc/shim/api/common.pb.h"

namespace cloister::shim {

// Which runsc drives a container, and how. It comes from Create's options: runc's (BinaryName, Root,
// SystemdCgroup), or a TOML file that containerd's configuration names as ConfigPath:
//
//   binary_name = "/usr/local/bin/runsc"   # default: beside the shim, else in the PATH
//   root = "/run/containerd/runsc"         # state of containers; below it a directory for each namespace
//   runtime_args = ["--platform=ptrace"]   # before the verb
//   [runsc_config]                         # the same, one by one
//   systemd-cgroup = "true"
struct RuntimeConfig {
  std::string binary;
  std::string root = "/run/containerd/runsc";
  std::vector<std::string> args;
};

// Invalid argument for options that cannot be read, with the place; not found where there is no runsc.
absl::StatusOr<RuntimeConfig> ResolveRuntime(const api::Any& options);

// The text of such a TOML file; name is for error messages.
absl::StatusOr<RuntimeConfig> ParseRuntimeConfig(std::string_view text, const std::string& name);

// Kept in the bundle for "delete", which may come when the shim is dead.
absl::Status SaveRuntime(const std::string& bundle, const RuntimeConfig& config);
// The default where nothing was saved.
absl::StatusOr<RuntimeConfig> LoadRuntime(const std::string& bundle);

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_RUNTIME_CONFIG_H_
