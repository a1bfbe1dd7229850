#include "runsc/shim/console.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/fd_passing.h"

namespace cloister::shim {
namespace {

constexpr int kPatienceMs = 10'000;
constexpr size_t kMaxName = 4096;

}  // namespace

absl::StatusOr<ConsoleSocket> ConsoleSocket::Listen(const std::string& bundle, const std::string& name) {
  UniqueFd directory(open(bundle.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.ok()) return HostErrorNow(bundle);
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.ok()) return HostErrorNow("socket");
  sockaddr_un address = {.sun_family = AF_UNIX};
  const int length = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s",
                              directory.get(), name.c_str());
  if (length >= static_cast<int>(sizeof address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": too long for a socket"));
  }
  unlinkat(directory.get(), name.c_str(), 0);
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener.get(), 1) != 0) {
    return HostErrorNow(absl::StrCat("console socket ", name));
  }
  return ConsoleSocket(std::move(directory), name, std::move(listener));
}

ConsoleSocket::~ConsoleSocket() {
  if (directory_.ok()) unlinkat(directory_.get(), name_.c_str(), 0);
}

absl::StatusOr<UniqueFd> ConsoleSocket::Receive() {
  pollfd waiting = {listener_.get(), POLLIN, 0};
  if (poll(&waiting, 1, kPatienceMs) <= 0) return absl::DeadlineExceededError("runsc has sent no terminal");
  const UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.ok()) return HostErrorNow("accept");
  std::array<std::byte, kMaxName> name;
  Received received = TRY_STATUS(ReceiveWithFds(connection.get(), name));
  if (received.fds.size() != 1) return absl::DataLossError("runsc has sent no terminal");
  return std::move(received.fds[0]);
}

}  // namespace cloister::shim
