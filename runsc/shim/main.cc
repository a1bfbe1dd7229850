#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/error/status.h"
#include "runsc/cmd/flags.h"
#include "runsc/shim/bootstrap.h"
#include "runsc/shim/daemon.h"

namespace {

using cloister::shim::ShimOptions;

constexpr char kVersion[] = "containerd-shim-runsc-v1:\n  Version:  0.1.0\n";

int Report(const absl::Status& status) {
  fprintf(stderr, "containerd-shim-runsc-v1: %s\n", cloister::FirstLine(status).c_str());
  return 1;
}

int Print(const absl::StatusOr<std::string>& answer) {
  if (!answer.ok()) return Report(answer.status());
  fwrite(answer->data(), 1, answer->size(), stdout);
  return fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace

// containerd's binary contract for shims, version 2: "start", "delete", or the daemon itself.
int main(int argc, char** argv) {
  ShimOptions options;
  bool version = false;
  cloister::cmd::Flags flags("containerd-shim-runsc-v1", "[options] [start|delete]",
                             "containerd's shim for runsc. containerd starts it.");
  flags.String("namespace", &options.name_space, "containerd's namespace");
  flags.String("id", &options.id, "the container's id");
  flags.String("address", &options.address, "containerd's socket");
  flags.String("publish-binary", &options.publish_binary, "containerd's program, for events");
  flags.String("bundle", &options.bundle, "the bundle's path; default: the working directory");
  flags.Bool("debug", &options.debug, "log more");
  flags.Bool("version,v", &version, "print the version");
  const absl::Status parsed = flags.Parse({argv + 1, argv + argc});
  if (absl::IsCancelled(parsed)) return Print(std::string(parsed.message()));
  if (!parsed.ok()) return Report(parsed);
  if (version) return Print(std::string(kVersion));
  if (options.name_space.empty()) return Report(absl::InvalidArgumentError("-namespace is missing"));
  if (options.id.empty()) return Report(absl::InvalidArgumentError("-id is missing"));
  if (options.bundle.empty()) options.bundle.push_back('.');
  const std::string action = flags.positionals().empty() ? "" : flags.positionals()[0];
  if (action == "start") return Print(cloister::shim::StartDaemon(options));
  if (action == "delete") return Print(cloister::shim::DeleteContainer(options));
  if (!action.empty()) return Report(absl::InvalidArgumentError("unknown action " + action));
  cloister::shim::RunDaemon(options);
}
