#ifndef CLOISTER_RUNSC_CONTAINER_HOOKS_H_
#define CLOISTER_RUNSC_CONTAINER_HOOKS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "runsc/spec/spec.h"
#include "runsc/spec/state.h"

namespace cloister::container {

// Runs hooks one after the other in the caller's namespaces, with the bundle as working directory and
// the container's state on standard input. The first one that fails, or outlives its timeout (it is
// killed), ends the series with an error that quotes its standard error. kind: "prestart" …
absl::Status RunHooks(const std::vector<spec::Hook>& hooks, std::string_view kind, const spec::State& state,
                      spec::Status status);

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_HOOKS_H_
