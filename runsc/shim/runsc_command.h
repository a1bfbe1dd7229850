#ifndef CLOISTER_RUNSC_SHIM_RUNSC_COMMAND_H_
#define CLOISTER_RUNSC_SHIM_RUNSC_COMMAND_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/host/reaper.h"
#include "runsc/shim/runtime_config.h"

namespace cloister::shim {

// runsc's command line for the containers of one bundle, as containerd's own shim calls runc. Blocks until
// the command has ended; it dies with the calling thread. Thread-safe.
class RunscCommand {
 public:
  RunscCommand(RuntimeConfig config, std::string name_space, std::string bundle, Reaper* reaper);

  // args: verb and its arguments. stdio: three descriptors for a container to keep; the command's own where
  // none are given, of which nothing is read.
  // An error is "what failed: " and what runsc has written to its log, with the code that callers act on: not
  // found where there is no such container or process, else unknown.
  absl::Status Run(std::string_view what, const std::vector<std::string>& args,
                   const std::vector<int>& stdio = {}) const;

  // The same, for commands that print something or read input.
  absl::StatusOr<std::string> Output(std::string_view what, const std::vector<std::string>& args,
                                     const std::string& input = "") const;

 private:
  std::vector<std::string> Argv(const std::vector<std::string>& args) const;
  absl::Status Failure(std::string_view what, const absl::StatusOr<Exit>& exit) const;

  const RuntimeConfig config_;
  const std::string root_;
  const std::string bundle_;
  const std::string log_;
  Reaper* const reaper_;
};

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_RUNSC_COMMAND_H_
