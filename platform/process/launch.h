#ifndef CLOISTER_PLATFORM_PROCESS_LAUNCH_H_
#define CLOISTER_PLATFORM_PROCESS_LAUNCH_H_

#include <sys/types.h>

#include <cstddef>
#include <span>

#include "absl/status/statusor.h"

namespace cloister::process {

// A descriptor of ours, and the number that the new process has it by.
struct PlacedFd {
  int fd = -1;
  int number = -1;
};

struct Launch {
  std::span<const std::byte> image;  // an ELF file
  // Ascending, without gaps, from 3 on; at most kMaxPlaced. The first is a socket, where a step that failed
  // is named.
  std::span<const PlacedFd> descriptors;
  int fd_limit = 0;  // RLIMIT_NOFILE
};
inline constexpr size_t kMaxPlaced = 4;

// Executes the image as a child of this process: in a session of its own, with no_new_privs, without
// capabilities, environment, arguments or other descriptors, all signals ignored, and everything mapped where
// it is always mapped. Takes vfork, execveat, memfd_create, personality.
absl::StatusOr<pid_t> LaunchImage(const Launch& launch);

}  // namespace cloister::process

#endif  // CLOISTER_PLATFORM_PROCESS_LAUNCH_H_
