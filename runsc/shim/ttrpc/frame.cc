#include "runsc/shim/ttrpc/frame.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"

namespace cloister::ttrpc {
namespace {

constexpr size_t kMaxLength = 1 << 24;  // the length's first byte is reserved and zero
constexpr size_t kFirstPiece = 64 << 10;

uint32_t LoadBigEndian(const char* from) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(from[i]);
  return value;
}

void StoreBigEndian(uint32_t value, char* to) {
  for (int i = 3; i >= 0; --i, value >>= 8) to[i] = static_cast<char>(value);
}

// Fewer bytes than asked for at the end of the stream.
absl::StatusOr<size_t> ReadFully(int socket, char* to, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t got = recv(socket, to + done, size - done, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return HostErrorNow("recv");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

absl::Status CutShort() { return absl::DataLossError("the stream ends inside a frame"); }

absl::Status Skip(int socket, size_t size) {
  std::array<char, 4096> dropped;
  while (size > 0) {
    const size_t piece = std::min(size, dropped.size());
    if (TRY_STATUS(ReadFully(socket, dropped.data(), piece)) < piece) return CutShort();
    size -= piece;
  }
  return absl::OkStatus();
}

// Grows with what has arrived: a length alone costs a peer nothing and may not cost us memory.
absl::Status ReadPayload(int socket, size_t size, std::string* payload) {
  size_t piece = kFirstPiece;
  while (payload->size() < size) {
    const size_t done = payload->size();
    piece = std::min(piece, size - done);
    payload->resize(done + piece);
    if (TRY_STATUS(ReadFully(socket, payload->data() + done, piece)) < piece) return CutShort();
    piece = payload->size();
  }
  return absl::OkStatus();
}

absl::Status WriteFully(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return HostErrorNow("send");
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Frame> ReadFrame(int socket) {
  std::array<char, kHeaderBytes> header;
  const size_t got = TRY_STATUS(ReadFully(socket, header.data(), header.size()));
  if (got == 0) return absl::OutOfRangeError("end of the stream");
  if (got < header.size()) return CutShort();
  const size_t length = LoadBigEndian(header.data());
  if (length >= kMaxLength) return absl::DataLossError(absl::StrCat("a frame of ", length, " bytes"));
  Frame frame{.stream = LoadBigEndian(header.data() + 4), .type = static_cast<uint8_t>(header[8])};
  if (length > kMaxPayloadBytes) {
    frame.oversized = true;
    RETURN_IF_ERROR(Skip(socket, length));
    return frame;
  }
  RETURN_IF_ERROR(ReadPayload(socket, length, &frame.payload));
  return frame;
}

absl::Status WriteFrame(int socket, uint32_t stream, FrameType type, std::string_view payload) {
  if (payload.size() > kMaxPayloadBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("a message of ", payload.size(), " bytes"));
  }
  std::string bytes(kHeaderBytes, '\0');
  StoreBigEndian(static_cast<uint32_t>(payload.size()), bytes.data());
  StoreBigEndian(stream, bytes.data() + 4);
  bytes[8] = static_cast<char>(type);
  bytes.append(payload);
  return WriteFully(socket, bytes);
}

}  // namespace cloister::ttrpc
