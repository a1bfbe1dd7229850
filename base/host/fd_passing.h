#ifndef CLOISTER_BASE_HOST_FD_PASSING_H_
#define CLOISTER_BASE_HOST_FD_PASSING_H_

#include <cstddef>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"

namespace cloister {

inline constexpr size_t kMaxPassedFds = 64;

// Sends all of data with fds attached (SCM_RIGHTS) to its first byte. Blocks; retries EINTR.
absl::Status SendWithFds(int socket, std::span<const std::byte> data, std::span<const int> fds);

struct Received {
  size_t bytes = 0;  // 0 is the end of the stream
  std::vector<UniqueFd> fds;
};

// One recvmsg(2) into data. Descriptors arrive close-on-exec. Truncated control data is an error.
// flags: recvmsg(2)'s further ones, as MSG_DONTWAIT.
absl::StatusOr<Received> ReceiveWithFds(int socket, std::span<std::byte> data, int flags = 0);

// A frame is a 32-bit little-endian length and that many bytes; fds ride on its first byte.
absl::Status SendFrame(int socket, std::span<const std::byte> payload, std::span<const int> fds);

struct Frame {
  std::vector<std::byte> payload;
  std::vector<UniqueFd> fds;
  bool end_of_stream = false;
};

// Reads one frame of at most max_bytes; a longer one is an error and the stream is then unusable.
absl::StatusOr<Frame> ReceiveFrame(int socket, size_t max_bytes);

}  // namespace cloister

#endif  // CLOISTER_BASE_HOST_FD_PASSING_H_
