#include "runsc/sandbox/control_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "base/host/fd_passing.h"

namespace cloister::sandbox {
namespace {

constexpr uint32_t kMaxReplyBytes = 16 << 20;
constexpr int kBacklog = 128;

struct SocketAddress {
  UniqueFd directory;  // keeps the address valid
  sockaddr_un name = {};
};

absl::StatusOr<SocketAddress> AddressIn(const std::string& directory) {
  SocketAddress address;
  address.directory.reset(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!address.directory.ok()) return HostErrorNow(absl::StrCat("open ", directory));
  const std::string path = absl::StrCat("/proc/self/fd/", address.directory.get(), "/", kControlSocketName);
  address.name.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.name.sun_path)
    return absl::InternalError("control socket's path is too long");
  memcpy(address.name.sun_path, path.c_str(), path.size() + 1);
  return address;
}

absl::Status FromReply(const control::Reply& reply) {
  if (reply.error().empty()) return absl::OkStatus();
  absl::StatusCode code = absl::StatusCode::kUnknown;
  if (reply.error_errno() > 0) code = absl::ErrnoToStatusCode(reply.error_errno());
  return absl::Status(code, reply.error().substr(0, reply.error().find('\n')));
}

}  // namespace

absl::StatusOr<UniqueFd> ListenForControl(const std::string& directory) {
  const SocketAddress address = TRY_STATUS(AddressIn(directory));
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.ok()) return HostErrorNow("socket");
  if (fchmod(socket.get(), 0600) != 0) return HostErrorNow("fchmod");
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.name), sizeof address.name) != 0) {
    return HostErrorNow("bind the control socket");
  }
  if (listen(socket.get(), kBacklog) != 0) return HostErrorNow("listen");
  return socket;
}

absl::StatusOr<ControlClient> ControlClient::Connect(const std::string& directory, absl::Duration patience) {
  const SocketAddress address = TRY_STATUS(AddressIn(directory));
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.ok()) return HostErrorNow("socket");
  // Bounds connect(2) too, where the backlog is full.
  const timeval limit = absl::ToTimeval(patience);
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.name), sizeof address.name) != 0) {
    return absl::UnavailableError(absl::StrCat("the sandbox does not answer: ", strerror(errno)));
  }
  return ControlClient(std::move(socket));
}

absl::Status ControlClient::Receive(std::span<std::byte> data, absl::Time deadline) {
  while (!data.empty()) {
    // Rounded up: a deadline below a millisecond away is no reason to spin.
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now()) + 1;
    pollfd entry = {socket_.get(), POLLIN, 0};
    const int wait =
        deadline == absl::InfiniteFuture() ? -1 : static_cast<int>(std::clamp<int64_t>(left, 0, INT32_MAX));
    const int ready = poll(&entry, 1, wait);
    if (ready == 0) return absl::DeadlineExceededError("the sandbox does not answer in time");
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return HostErrorNow("poll");
    Received part = TRY_STATUS(ReceiveWithFds(socket_.get(), data));
    if (part.bytes == 0) return absl::UnavailableError("the sandbox has ended");
    data = data.subspan(part.bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<control::Reply> ControlClient::Call(const control::Request& request, absl::Duration patience,
                                                   std::span<const int> fds) {
  const absl::Time deadline = absl::Now() + patience;
  const std::string bytes = request.SerializeAsString();
  if (!SendFrame(socket_.get(), std::as_bytes(std::span(bytes)), fds).ok()) {
    return absl::UnavailableError("the sandbox has ended");
  }
  uint32_t length;
  RETURN_IF_ERROR(Receive(std::as_writable_bytes(std::span(&length, 1)), deadline));
  if (length > kMaxReplyBytes) return absl::InternalError("the sandbox's reply is too long");
  std::vector<std::byte> payload(length);
  RETURN_IF_ERROR(Receive(payload, deadline));
  control::Reply reply;
  if (!reply.ParseFromArray(payload.data(), static_cast<int>(length))) {
    return absl::InternalError("the sandbox's reply makes no sense");
  }
  RETURN_IF_ERROR(FromReply(reply));
  return reply;
}

}  // namespace cloister::sandbox
