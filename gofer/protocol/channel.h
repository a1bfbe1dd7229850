#ifndef CLOISTER_GOFER_PROTOCOL_CHANNEL_H_
#define CLOISTER_GOFER_PROTOCOL_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "gofer/protocol/windows.h"
#include "google/protobuf/message_lite.h"

namespace cloister::gofer {

// One connection between sentry and gofer. Messages lie in its window (windows.h); that there is one,
// and how long it is, goes from side to side in one of two ways:
//
// - by a record on the connection's socket, which also carries descriptors, and whose end tells each
//   side that the other is gone;
// - by the *doorbell*: a system call that does not exist, which the sentry's seccomp filter sends to a
//   listener that the gofer holds (seccomp_unotify(2)). The call returns when the gofer has answered.
//   The host goes over to the gofer's thread and back on the caller's core, whichever that is, where
//   the wake-ups of a socket would go to an idle one. When the gofer ends, the call fails.

// x86-64 has no such call. Arguments: the request's length, and a number that grows with each call.
inline constexpr long kDoorbellNr = 4001;

// The window with a private copy of what was read. Not thread-safe.
class WindowEnd {
 public:
  // index is below windows->count().
  WindowEnd(std::shared_ptr<const Windows> windows, uint32_t index);

  // Writes it; its length. kResourceExhausted if it does not fit.
  absl::StatusOr<uint32_t> Put(const google::protobuf::MessageLite& message);
  // Copies and parses what the peer says are `length` bytes.
  absl::Status Take(uint64_t length, google::protobuf::MessageLite* message);

 private:
  std::shared_ptr<const Windows> windows_;
  std::span<std::byte> window_;
  std::unique_ptr<std::byte[]> copy_;
  size_t capacity_ = 0;
};

// The sentry's end. Not thread-safe: one call at a time. Every error makes it unusable.
class ClientChannel {
 public:
  ClientChannel(UniqueFd socket, std::shared_ptr<const Windows> windows, uint32_t index);

  // Blocks for the reply. fds may be null: descriptors that come with it are closed then. gift, if any,
  // goes along with the request (not by the doorbell); it is borrowed.
  absl::Status Call(const google::protobuf::MessageLite& request, google::protobuf::MessageLite* reply,
                    std::vector<UniqueFd>* fds, int gift = -1);
  // The gofer listens now to this thread's filter: calls are made by the doorbell.
  void UseDoorbell() { doorbell_ = true; }

 private:
  absl::StatusOr<uint64_t> Ring(uint32_t length, std::vector<UniqueFd>* fds);

  const UniqueFd socket_;
  WindowEnd window_;
  bool doorbell_ = false;
  uint64_t rings_ = 0;
};

// The gofer's end. Not thread-safe.
class ServerChannel {
 public:
  ServerChannel(UniqueFd socket, std::shared_ptr<const Windows> windows, uint32_t index);

  // Blocks for a request. kOutOfRange when the peer has hung up; every error makes the channel
  // unusable. fds, if not null, receives what came with it.
  absl::Status Receive(google::protobuf::MessageLite* request, std::vector<UniqueFd>* fds);
  // Answers it. fds are borrowed. kResourceExhausted, and nothing is sent, if it does not fit.
  absl::Status Send(const google::protobuf::MessageLite& reply, std::span<const int> fds);
  // Requests come by the doorbell from now on; listener is a seccomp listener.
  void ListenTo(UniqueFd listener);

 private:
  // The length of the next request.
  absl::StatusOr<uint64_t> AwaitRing();
  absl::Status Answer(uint64_t result);
  bool HungUp() const;

  UniqueFd socket_;
  WindowEnd window_;
  UniqueFd listener_;
  uint64_t notification_ = 0;  // of the call under way
  uint64_t ring_ = 0;          // its number
  uint64_t result_ = 0;        // the answer to ring_, once answered_
  bool answered_ = false;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_PROTOCOL_CHANNEL_H_
