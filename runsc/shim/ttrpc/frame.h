#ifndef CLOISTER_RUNSC_SHIM_TTRPC_FRAME_H_
#define CLOISTER_RUNSC_SHIM_TTRPC_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cloister::ttrpc {

// ttrpc's frame (PROTOCOL.md of containerd/ttrpc): big-endian length and stream id, a type, flags, and that
// many bytes. The client chooses the stream's id, which is odd, anew for every call.
inline constexpr size_t kHeaderBytes = 10;
inline constexpr size_t kMaxPayloadBytes = 4 << 20;

enum class FrameType : uint8_t { kRequest = 1, kResponse = 2, kData = 3 };

struct Frame {
  uint32_t stream = 0;
  uint8_t type = 0;  // FrameType, or what the peer made up
  std::string payload;
  bool oversized = false;  // longer than kMaxPayloadBytes; its bytes were read and thrown away
};

// Reads one frame; blocks. Out of range at the end of the stream between frames; data loss inside of one, or
// where the length is none that the protocol allows (16 MiB and more), after which the stream is unusable.
absl::StatusOr<Frame> ReadFrame(int socket);

// Writes one frame whole; blocks as long as SO_SNDTIMEO lets it. An error may leave half a frame behind.
// Resource exhausted, and nothing written, where the payload is too long.
absl::Status WriteFrame(int socket, uint32_t stream, FrameType type, std::string_view payload);

}  // namespace cloister::ttrpc

#endif  // CLOISTER_RUNSC_SHIM_TTRPC_FRAME_H_
