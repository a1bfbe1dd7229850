#include "gofer/protocol/channel.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/error/status.h"
#include "base/host/fd_passing.h"

namespace cloister::gofer {
namespace {

constexpr size_t kHeaderBytes = sizeof(uint32_t);
constexpr size_t kSmallBuffer = 16 << 10;
// A buffer above this is given back once its frame is done.
constexpr size_t kKeepBuffer = 64 << 10;

}  // namespace

Channel::Channel(UniqueFd socket, size_t max_receive)
    : socket_(std::move(socket)), max_receive_(max_receive) {
  Reserve(kSmallBuffer);
}

void Channel::Reserve(size_t capacity) {
  auto bigger = std::make_unique_for_overwrite<std::byte[]>(capacity);
  if (used_ > 0) memcpy(bigger.get(), buffer_.get(), used_);
  buffer_ = std::move(bigger);
  capacity_ = capacity;
}

absl::Status Channel::Send(const google::protobuf::MessageLite& message, std::span<const int> fds) {
  const size_t bytes = message.ByteSizeLong();
  if (bytes > UINT32_MAX) return absl::InvalidArgumentError("message is too long");
  out_.resize(kHeaderBytes + bytes);
  const uint32_t length = static_cast<uint32_t>(bytes);
  memcpy(out_.data(), &length, sizeof length);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(out_.data() + kHeaderBytes));
  absl::Status sent = SendWithFds(socket_.get(), out_, fds);
  if (out_.capacity() > kKeepBuffer) std::vector<std::byte>().swap(out_);
  return sent;
}

absl::Status Channel::Fill(std::vector<UniqueFd>* fds) {
  Received part =
      TRY_STATUS(ReceiveWithFds(socket_.get(), std::span(buffer_.get() + used_, capacity_ - used_)));
  if (part.bytes == 0) {
    if (used_ == 0) return absl::OutOfRangeError("end of stream");
    return absl::DataLossError("stream ended inside a frame");
  }
  used_ += part.bytes;
  if (fds == nullptr) return absl::OkStatus();
  for (UniqueFd& fd : part.fds) {
    if (fds->size() >= kMaxPassedFds) return absl::InvalidArgumentError("too many descriptors in a frame");
    fds->push_back(std::move(fd));
  }
  return absl::OkStatus();
}

absl::Status Channel::Receive(google::protobuf::MessageLite* message, std::vector<UniqueFd>* fds) {
  while (used_ < kHeaderBytes) RETURN_IF_ERROR(Fill(fds));
  uint32_t length;
  memcpy(&length, buffer_.get(), sizeof length);
  if (length > max_receive_) return absl::InvalidArgumentError("frame is too long");
  const size_t frame = kHeaderBytes + length;
  if (frame > capacity_) Reserve(frame);
  while (used_ < frame) RETURN_IF_ERROR(Fill(fds));
  // One request, one reply: a peer that sends ahead is not ours, but its bytes are kept in order.
  const bool parsed = message->ParseFromArray(buffer_.get() + kHeaderBytes, static_cast<int>(length));
  used_ -= frame;
  if (used_ > 0) memmove(buffer_.get(), buffer_.get() + frame, used_);
  if (capacity_ > kKeepBuffer && used_ <= kSmallBuffer) Reserve(kSmallBuffer);
  if (!parsed) return absl::InvalidArgumentError("frame does not parse");
  return absl::OkStatus();
}

}  // namespace cloister::gofer
