#ifndef CLOISTER_BASE_HOST_OWN_PATH_H_
#define CLOISTER_BASE_HOST_OWN_PATH_H_

#include <string>

#include "absl/status/statusor.h"

namespace cloister {

// The path of the running program, by /proc/self/exe: proc(5).
absl::StatusOr<std::string> OwnPath();

}  // namespace cloister

#endif  // CLOISTER_BASE_HOST_OWN_PATH_H_
