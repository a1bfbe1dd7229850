#ifndef CLOISTER_GOFER_PROTOCOL_CONFIG_H_
#define CLOISTER_GOFER_PROTOCOL_CONFIG_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "gofer/protocol/config.pb.h"

namespace cloister::gofer {

// The number under which the gofer inherits its configuration.
inline constexpr int kGoferConfigFd = 3;

// Opens a host path as an attach point: O_PATH, so nothing is read and no device is woken.
// Symbolic links in path are followed: it comes from the bundle's author and not from the container.
absl::StatusOr<UniqueFd> OpenAttachPoint(const std::string& path);

// A sealed, rewound memfd with config in it, for the child to inherit as kGoferConfigFd.
absl::StatusOr<UniqueFd> MakeConfigFd(const GoferConfig& config);

// Reads what MakeConfigFd wrote, to end of file; at most 1 MiB.
absl::StatusOr<GoferConfig> ReadConfig(int fd);

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_PROTOCOL_CONFIG_H_
