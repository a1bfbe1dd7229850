#include "gofer/protocol/channel.h"

#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error/status.h"
#include "base/host/fd_passing.h"
#include "gofer/protocol/limits.h"

// Linux 6.6; not in Debian 12's headers.
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

namespace cloister::gofer {
namespace {

constexpr size_t kSmallCopy = 4 << 10;
// A copy's buffer above this is given back once its message is parsed.
constexpr size_t kKeepCopy = 32 << 10;
// In the doorbell's result, above the length: a record with descriptors waits on the socket.
constexpr uint64_t kWithDescriptors = uint64_t{1} << 32;

absl::Status SendRecord(int socket, uint32_t length, std::span<const int> fds) {
  return SendWithFds(socket, std::as_bytes(std::span(&length, 1)), fds);
}

// The length that the next record tells. flags: recvmsg(2)'s.
absl::StatusOr<uint64_t> ReceiveRecord(int socket, std::vector<UniqueFd>* fds, int flags) {
  uint32_t length;
  std::span<std::byte> rest = std::as_writable_bytes(std::span(&length, 1));
  while (!rest.empty()) {
    Received part = TRY_STATUS(ReceiveWithFds(socket, rest, flags));
    if (part.bytes == 0) {
      if (rest.size() == sizeof length) return absl::OutOfRangeError("end of stream");
      return absl::DataLossError("stream ended inside a record");
    }
    rest = rest.subspan(part.bytes);
    for (UniqueFd& fd : part.fds) {
      if (fds != nullptr && fds->size() < kMaxPassedFds) fds->push_back(std::move(fd));
    }
  }
  return length;
}

}  // namespace

WindowEnd::WindowEnd(std::shared_ptr<const Windows> windows, uint32_t index)
    : windows_(std::move(windows)), window_(windows_->At(index)) {}

absl::StatusOr<uint32_t> WindowEnd::Put(const google::protobuf::MessageLite& message) {
  const size_t length = message.ByteSizeLong();
  if (length > window_.size()) return absl::ResourceExhaustedError("message does not fit its window");
  message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(window_.data()));
  return static_cast<uint32_t>(length);
}

absl::Status WindowEnd::Take(uint64_t length, google::protobuf::MessageLite* message) {
  if (length > window_.size()) return absl::InvalidArgumentError("message is longer than its window");
  if (length > capacity_) {
    capacity_ = std::max(static_cast<size_t>(length), kSmallCopy);
    copy_ = std::make_unique_for_overwrite<std::byte[]>(capacity_);
  }
  std::copy_n(window_.data(), length, copy_.get());  // also of nothing
  const bool parsed = message->ParseFromArray(copy_.get(), static_cast<int>(length));
  if (capacity_ > kKeepCopy) {
    copy_.reset();
    capacity_ = 0;
  }
  if (!parsed) return absl::InvalidArgumentError("message does not parse");
  return absl::OkStatus();
}

ClientChannel::ClientChannel(UniqueFd socket, std::shared_ptr<const Windows> windows, uint32_t index)
    : socket_(std::move(socket)), window_(std::move(windows), index) {}

absl::Status ClientChannel::Call(const google::protobuf::MessageLite& request,
                                 google::protobuf::MessageLite* reply, std::vector<UniqueFd>* fds, int gift) {
  const uint32_t length = TRY_STATUS(window_.Put(request));
  if (doorbell_) return window_.Take(TRY_STATUS(Ring(length, fds)), reply);
  RETURN_IF_ERROR(SendRecord(socket_.get(), length, std::span(&gift, gift >= 0 ? 1 : 0)));
  return window_.Take(TRY_STATUS(ReceiveRecord(socket_.get(), fds, 0)), reply);
}

absl::StatusOr<uint64_t> ClientChannel::Ring(uint32_t length, std::vector<UniqueFd>* fds) {
  ++rings_;
  long result;
  do {
    result = syscall(kDoorbellNr, length, rings_);
  } while (result < 0 && errno == EINTR);
  if (result < 0) return HostErrorNow("the gofer's doorbell");
  const auto answer = static_cast<uint64_t>(result);
  if ((answer & kWithDescriptors) == 0) return answer;
  // Sent before the answer: it is here, or the gofer lies.
  return ReceiveRecord(socket_.get(), fds, MSG_DONTWAIT);
}

ServerChannel::ServerChannel(UniqueFd socket, std::shared_ptr<const Windows> windows, uint32_t index)
    : socket_(std::move(socket)), window_(std::move(windows), index) {}

void ServerChannel::ListenTo(UniqueFd listener) {
  listener_ = std::move(listener);
  // Before Linux 6.6 it cannot be had: the doorbell is slower then.
  ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
}

absl::Status ServerChannel::Receive(google::protobuf::MessageLite* request, std::vector<UniqueFd>* fds) {
  const uint64_t length = TRY_STATUS(listener_.ok() ? AwaitRing() : ReceiveRecord(socket_.get(), fds, 0));
  return window_.Take(length, request);
}

absl::Status ServerChannel::Send(const google::protobuf::MessageLite& reply, std::span<const int> fds) {
  const uint32_t length = TRY_STATUS(window_.Put(reply));
  if (!listener_.ok()) return SendRecord(socket_.get(), length, fds);
  if (fds.empty()) return Answer(length);
  RETURN_IF_ERROR(SendRecord(socket_.get(), length, fds));
  return Answer(length | kWithDescriptors);
}

absl::StatusOr<uint64_t> ServerChannel::AwaitRing() {
  for (;;) {
    seccomp_notif call = {};
    if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) < 0) {
      // ENOENT: the caller was interrupted or has ended, or all who could call have.
      if (errno != EINTR && errno != ENOENT) return HostErrorNow("the doorbell's listener");
      if (errno == ENOENT && HungUp()) return absl::OutOfRangeError("end of stream");
      continue;
    }
    if (call.data.nr != kDoorbellNr) return absl::InvalidArgumentError("not the doorbell");
    notification_ = call.id;
    if (answered_ && call.data.args[1] == ring_) {  // interrupted while it was served: it rings again
      RETURN_IF_ERROR(Answer(result_));
      continue;
    }
    ring_ = call.data.args[1];
    answered_ = false;
    return call.data.args[0];
  }
}

absl::Status ServerChannel::Answer(uint64_t result) {
  answered_ = true;
  result_ = result;
  seccomp_notif_resp response = {notification_, static_cast<int64_t>(result), 0, 0};
  while (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response) < 0) {
    if (errno == ENOENT) break;  // it has been interrupted: it rings again, or has ended
    if (errno != EINTR) return HostErrorNow("the doorbell's answer");
  }
  return absl::OkStatus();
}

bool ServerChannel::HungUp() const {
  char byte;
  iovec piece = {&byte, 1};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  return recvmsg(socket_.get(), &message, MSG_PEEK | MSG_DONTWAIT) == 0;
}

}  // namespace cloister::gofer
