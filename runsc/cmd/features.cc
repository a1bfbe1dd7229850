#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error/status.h"
#include "runsc/cmd/verb.h"
#include "runsc/spec/names.h"

namespace cloister::cmd {

// features.md of the OCI runtime specification.
absl::StatusOr<int> RunFeatures(const Globals&, const Args& args) {
  Flags flags("runsc features", "", "Prints what this runtime can do, as JSON.");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "features", 0, 0));
  const nlohmann::ordered_json features = {
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", "1.1.0"},
      {"hooks", {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}},
      {"mountOptions", spec::MountOptionNames()},
      {"linux",
       {{"namespaces", {"cgroup", "ipc", "mount", "network", "pid", "user", "uts"}},
        {"capabilities", spec::CapabilityNames()},
        {"cgroup", {{"v1", true}, {"v2", true}, {"systemd", false}, {"systemdUser", false}, {"rdma", false}}},
        {"seccomp",
         {{"enabled", true},
          {"actions", spec::SeccompActionNames()},
          {"operators", spec::SeccompOperatorNames()},
          {"archs", spec::SeccompArchitectureNames()},
          {"knownFlags", spec::SeccompFlagNames()},
          {"supportedFlags", spec::SeccompFlagNames()}}},
        {"apparmor", {{"enabled", false}}},
        {"selinux", {{"enabled", false}}},
        {"intelRdt", {{"enabled", false}}},
        {"mountExtensions", {{"idmap", {{"enabled", false}}}}}}},
  };
  printf("%s\n", features.dump(2).c_str());
  return 0;
}

}  // namespace cloister::cmd
