#ifndef CLOISTER_RUNSC_CONTAINER_HOOKS_H_
#define CLOISTER_RUNSC_CONTAINER_HOOKS_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runsc/spec/spec.h"
#include "runsc/spec/state.h"

namespace cloister::container {

// Starts a hook's process with these as its standard input and as both its outputs: a child of the caller
// that ends as the hook ends, and whose end is the hook's.
using HookLauncher = std::function<absl::StatusOr<pid_t>(const spec::Hook& hook, int input, int output)>;

// In the caller's namespaces, with the bundle as working directory.
HookLauncher OnHost(const spec::State& state);

// Runs hooks one after the other with the container's state on standard input. The first one that fails, or
// outlives its timeout (it is killed), ends the series with an error that quotes what it wrote.
// kind: "prestart" …
absl::Status RunHooks(const std::vector<spec::Hook>& hooks, std::string_view kind, const spec::State& state,
                      spec::Status status, const HookLauncher& launch);

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_HOOKS_H_
