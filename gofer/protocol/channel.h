#ifndef CLOISTER_GOFER_PROTOCOL_CHANNEL_H_
#define CLOISTER_GOFER_PROTOCOL_CHANNEL_H_

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "google/protobuf/message_lite.h"

namespace cloister::gofer {

// One end of a connection that carries frames of base/host/fd_passing.h, one message a frame.
// Against that file's functions it saves a system call and two copies per frame: a small frame is
// sent by one sendmsg(2) and arrives by one recvmsg(2), in a buffer that is used again.
// Not thread-safe: one thread at a time.
class Channel {
 public:
  // Frames longer than max_receive bytes are refused.
  Channel(UniqueFd socket, size_t max_receive);

  // Blocks. fd, if any, rides on the frame; it is borrowed.
  absl::Status Send(const google::protobuf::MessageLite& message, std::span<const int> fds = {});

  // Blocks for one frame and parses it. kOutOfRange at the end of the stream; every error makes the
  // channel unusable. fds may be null: descriptors that arrive are closed then.
  absl::Status Receive(google::protobuf::MessageLite* message, std::vector<UniqueFd>* fds);

 private:
  // Reads once more behind what is buffered.
  absl::Status Fill(std::vector<UniqueFd>* fds);
  void Reserve(size_t capacity);

  const UniqueFd socket_;
  const size_t max_receive_;
  std::unique_ptr<std::byte[]> buffer_;  // received bytes: [0, used_)
  size_t capacity_ = 0;
  size_t used_ = 0;
  std::vector<std::byte> out_;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_PROTOCOL_CHANNEL_H_
