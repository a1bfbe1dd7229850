#include "runsc/shim/ttrpc/client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "runsc/shim/ttrpc/frame.h"
#include "runsc/shim/ttrpc/ttrpc.pb.h"

namespace cloister::ttrpc {
namespace {

absl::Status Unavailable(const absl::Status& status) { return absl::UnavailableError(status.message()); }

}  // namespace

absl::StatusOr<UniqueFd> ConnectTo(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX};
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("too long for a socket: ", path));
  }
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.ok()) return HostErrorNow("socket");
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return HostErrorNow(path);
  }
  return socket;
}

absl::StatusOr<Client> Client::Connect(const std::string& path) {
  return Client(TRY_STATUS(ConnectTo(path)));
}

absl::StatusOr<std::string> Client::Call(const std::string& service, const std::string& method,
                                         const std::string& payload, absl::Duration patience) {
  Request request;
  request.set_service(service);
  request.set_method(method);
  request.set_payload(payload);
  request.set_timeout_nano(absl::ToInt64Nanoseconds(patience));
  const timeval limit = absl::ToTimeval(patience);
  setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const uint32_t stream = stream_;
  stream_ += 2;
  const absl::Status sent =
      WriteFrame(socket_.get(), stream, FrameType::kRequest, request.SerializeAsString());
  if (!sent.ok()) return Unavailable(sent);
  absl::StatusOr<Frame> frame = ReadFrame(socket_.get());
  if (!frame.ok()) return Unavailable(frame.status());
  Response response;
  if (frame->stream != stream || frame->type != static_cast<uint8_t>(FrameType::kResponse) ||
      frame->oversized || !response.ParseFromString(frame->payload)) {
    return absl::UnavailableError("the server does not speak ttrpc");
  }
  if (response.status().code() == 0) return response.payload();
  return absl::Status(static_cast<absl::StatusCode>(response.status().code()), response.status().message());
}

}  // namespace cloister::ttrpc
