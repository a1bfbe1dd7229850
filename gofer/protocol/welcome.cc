#include "gofer/protocol/welcome.h"

#include <utility>

#include "base/error/status.h"
#include "base/host/fd_passing.h"
#include "gofer/protocol/limits.h"

namespace cloister::gofer {
namespace {

constexpr size_t kMaxWelcomeBytes = 4096;

}  // namespace

absl::Status SendWelcome(int socket, const Welcome& welcome, const Windows& windows,
                         std::span<const UniqueFd> sockets) {
  std::vector<int> fds = {windows.fd()};
  for (const UniqueFd& fd : sockets) fds.push_back(fd.get());
  const std::string bytes = welcome.SerializeAsString();
  return SendFrame(socket, std::as_bytes(std::span(bytes)), fds);
}

absl::StatusOr<Welcomed> ReceiveWelcome(UniqueFd socket) {
  Frame frame = TRY_STATUS(ReceiveFrame(socket.get(), kMaxWelcomeBytes));
  if (frame.end_of_stream) return absl::OutOfRangeError("the gofer has hung up");
  Welcomed result;
  if (!result.welcome.ParseFromArray(frame.payload.data(), static_cast<int>(frame.payload.size()))) {
    return absl::InvalidArgumentError("the gofer's welcome does not parse");
  }
  const auto count = static_cast<uint32_t>(frame.fds.size());  // the memory stands for connection 0
  if (count == 0 || count > kMaxConnections || result.welcome.cpus_size() != static_cast<int>(count) ||
      result.welcome.doorbell() >= count) {
    return absl::InvalidArgumentError("the gofer's welcome makes no sense");
  }
  const std::shared_ptr<const Windows> windows =
      TRY_STATUS(Windows::Map(std::move(frame.fds.front()), count));
  frame.fds.front() = std::move(socket);
  for (uint32_t i = 0; i < count; ++i) {
    result.channels.push_back(std::make_unique<ClientChannel>(std::move(frame.fds[i]), windows, i));
  }
  return result;
}

}  // namespace cloister::gofer
