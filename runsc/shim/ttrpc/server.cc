#include "runsc/shim/ttrpc/server.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "runsc/shim/ttrpc/frame.h"
#include "runsc/shim/ttrpc/ttrpc.pb.h"

namespace cloister::ttrpc {
namespace {

constexpr int kSendSeconds = 10;

std::string Encode(const absl::StatusOr<std::string>& answer) {
  Response response;
  if (answer.ok()) {
    response.set_payload(*answer);
  } else {
    response.mutable_status()->set_code(static_cast<int>(answer.status().code()));
    response.mutable_status()->set_message(std::string(answer.status().message()));
  }
  return response.SerializeAsString();
}

}  // namespace

void Connection::Send(uint32_t stream, const absl::StatusOr<std::string>& answer) {
  absl::MutexLock lock(&mu_);
  absl::Status sent = WriteFrame(socket_.get(), stream, FrameType::kResponse, Encode(answer));
  if (absl::IsResourceExhausted(sent)) {
    sent = WriteFrame(socket_.get(), stream, FrameType::kResponse, Encode(sent));
  }
  // Half a frame may have gone out: the stream is of no use any more.
  if (!sent.ok()) shutdown(socket_.get(), SHUT_RDWR);
}

Server::~Server() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(
      +[](Server* self)
           ABSL_NO_THREAD_SAFETY_ANALYSIS { return self->calls_ == 0 && self->connections_.empty(); },
      this));
}

void Server::Register(const std::string& service, const std::string& method, Handler handler) {
  services_.insert(service);
  handlers_[{service, method}] = std::move(handler);
}

void Server::Serve() {
  while (true) {
    UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    {
      absl::MutexLock lock(&mu_);
      if (stopping_) return;
    }
    if (!socket.ok()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      LOG(kError, "accept: errno %d", errno);
      return;
    }
    const timeval patience = {kSendSeconds, 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    Start(std::make_shared<Connection>(std::move(socket)));
  }
}

void Server::Start(std::shared_ptr<Connection> connection) {
  {
    absl::MutexLock lock(&mu_);
    connections_.insert(connection);
  }
  std::thread([this, connection = std::move(connection)]() mutable {
    Read(connection);
    absl::MutexLock lock(&mu_);
    connections_.erase(connection);
  }).detach();
}

void Server::Stop() {
  absl::MutexLock lock(&mu_);
  stopping_ = true;
  shutdown(listener_.get(), SHUT_RDWR);
  for (const std::shared_ptr<Connection>& connection : connections_) {
    shutdown(connection->socket(), SHUT_RDWR);
  }
}

void Server::Read(const std::shared_ptr<Connection>& connection) {
  while (true) {
    absl::StatusOr<Frame> frame = ReadFrame(connection->socket());
    if (!frame.ok()) {
      if (!absl::IsOutOfRange(frame.status())) LOG(kWarning, "ttrpc: %s", frame.status().message());
      shutdown(connection->socket(), SHUT_RDWR);
      return;
    }
    if (frame->type != static_cast<uint8_t>(FrameType::kRequest)) continue;  // what only later versions have
    if (frame->stream % 2 == 0) {
      connection->Send(frame->stream, absl::InvalidArgumentError("a client's stream must have an odd id"));
      continue;
    }
    if (frame->oversized) {
      connection->Send(frame->stream, absl::ResourceExhaustedError(absl::StrCat("a message of more than ",
                                                                                kMaxPayloadBytes, " bytes")));
      continue;
    }
    BeginCall();
    std::thread([this, connection, frame = *std::move(frame)] {
      Dispatch(connection, frame.stream, frame.payload);
      EndCall();
    }).detach();
  }
}

void Server::Dispatch(const std::shared_ptr<Connection>& connection, uint32_t stream,
                      const std::string& bytes) {
  const Responder responder(connection, stream);
  Request request;
  if (!request.ParseFromString(bytes)) {
    responder.Send(absl::InvalidArgumentError("the request is no ttrpc message"));
    return;
  }
  const auto handler = handlers_.find({request.service(), request.method()});
  if (handler == handlers_.end()) {
    const bool known = services_.count(request.service()) != 0;
    responder.Send(absl::UnimplementedError(known ? absl::StrCat("method ", request.method())
                                                  : absl::StrCat("service ", request.service())));
    return;
  }
  handler->second(request.payload(), responder);
}

void Server::BeginCall() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(
      +[](Server* self) ABSL_NO_THREAD_SAFETY_ANALYSIS { return self->calls_ < kMaxCalls; }, this));
  ++calls_;
}

void Server::EndCall() {
  absl::MutexLock lock(&mu_);
  --calls_;
}

}  // namespace cloister::ttrpc
