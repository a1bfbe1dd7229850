#include "base/host/fd_passing.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/error/status.h"

namespace cloister {
namespace {

// Sends the rest of a stream, without descriptors.
absl::Status SendAll(int socket, std::span<const std::byte> data) {
  while (!data.empty()) {
    iovec piece = {const_cast<std::byte*>(data.data()), data.size()};
    msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    const ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return HostErrorNow("sendmsg");
    }
    data = data.subspan(static_cast<size_t>(sent));
  }
  return absl::OkStatus();
}

std::vector<UniqueFd> TakeFds(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

// Fills all of data, gathering descriptors. False at an end of stream before the first byte.
absl::StatusOr<bool> ReceiveAll(int socket, std::span<std::byte> data, std::vector<UniqueFd>* fds) {
  bool first = true;
  while (!data.empty()) {
    Received part = TRY_STATUS(ReceiveWithFds(socket, data));
    if (part.bytes == 0) {
      if (first) return false;
      return absl::DataLossError("stream ended inside a frame");
    }
    first = false;
    for (UniqueFd& fd : part.fds) {
      if (fds->size() >= kMaxPassedFds) return absl::InvalidArgumentError("too many descriptors in a frame");
      fds->push_back(std::move(fd));
    }
    data = data.subspan(part.bytes);
  }
  return true;
}

}  // namespace

absl::Status SendWithFds(int socket, std::span<const std::byte> data, std::span<const int> fds) {
  if (fds.size() > kMaxPassedFds) return absl::InvalidArgumentError("too many descriptors to pass");
  if (fds.empty()) return SendAll(socket, data);
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPassedFds * sizeof(int))] = {};
  iovec iov = {const_cast<std::byte*>(data.data()), data.size()};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(fds.size_bytes());
  cmsghdr* c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(fds.size_bytes());
  memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  ssize_t sent;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return HostErrorNow("sendmsg");
  return SendAll(socket, data.subspan(static_cast<size_t>(sent)));
}

absl::StatusOr<Received> ReceiveWithFds(int socket, std::span<std::byte> data, int flags) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPassedFds * sizeof(int))];
  iovec iov = {data.data(), data.size()};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return HostErrorNow("recvmsg");
  Received received{static_cast<size_t>(got), TakeFds(message)};
  if (message.msg_flags & MSG_CTRUNC) return absl::InvalidArgumentError("descriptors were cut off");
  return received;
}

absl::Status SendFrame(int socket, std::span<const std::byte> payload, std::span<const int> fds) {
  const uint32_t length = static_cast<uint32_t>(payload.size());
  std::vector<std::byte> frame(sizeof length + payload.size());
  memcpy(frame.data(), &length, sizeof length);
  if (!payload.empty()) memcpy(frame.data() + sizeof length, payload.data(), payload.size());
  return SendWithFds(socket, frame, fds);
}

absl::StatusOr<Frame> ReceiveFrame(int socket, size_t max_bytes) {
  Frame frame;
  uint32_t length;
  if (!TRY_STATUS(ReceiveAll(socket, std::as_writable_bytes(std::span(&length, 1)), &frame.fds))) {
    frame.end_of_stream = true;
    return frame;
  }
  if (length > max_bytes) return absl::InvalidArgumentError("frame is too long");
  frame.payload.resize(length);
  if (length > 0 && !TRY_STATUS(ReceiveAll(socket, frame.payload, &frame.fds))) {
    return absl::DataLossError("stream ended inside a frame");
  }
  return frame;
}

}  // namespace cloister
