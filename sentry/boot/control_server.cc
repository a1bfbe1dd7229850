#include "sentry/boot/control_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/abi/syscall_signatures.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "sentry/boot/gofer_mounts.h"
#include "sentry/wait/parker.h"

namespace cloister::boot {
namespace {

constexpr size_t kMaxRequest = 4 << 20;

control::Reply ErrorReply(const absl::Status& status, int error_errno = 0) {
  control::Reply reply;
  reply.set_error(FirstLine(status));
  reply.set_error_errno(error_errno != 0 ? error_errno : static_cast<int>(ToErrno(status)));
  return reply;
}

control::Reply ReplyOf(const absl::Status& status) {
  return status.ok() ? control::Reply() : ErrorReply(status);
}

control::Reply StateReplyOf(Sandbox& sandbox, const std::string& container) {
  control::Reply reply;
  reply.mutable_state()->set_state(sandbox.State(container));
  return reply;
}

control::Reply DebugReplyOf(Sandbox& sandbox, const control::DebugRequest& request) {
  control::Reply reply;
  control::DebugReply& debug = *reply.mutable_debug();
  if (request.what() == control::DebugRequest::TASKS) {
    debug.set_text(sandbox.DescribeTasks());
    return reply;
  }
  if (request.what() == control::DebugRequest::GOFER) {
    debug.set_text(sandbox.DescribeGofer());
    return reply;
  }
  for (uint64_t number = 0; number < task::Kernel::kSyscallNumbers; ++number) {
    const uint64_t count = sandbox.kernel().UnimplementedCount(number);
    if (count == 0) continue;
    control::SyscallCount& line = *debug.add_syscalls();
    const abi::Signature* const signature = abi::FindSyscallSignature(number);
    line.set_number(static_cast<uint32_t>(number));
    line.set_name(signature != nullptr ? signature->name : absl::StrFormat("syscall_%d", number));
    line.set_count(count);
  }
  return reply;
}

}  // namespace

void ControlServer::Connection::Answer(const control::Reply& reply) {
  const std::string bytes = reply.SerializeAsString();
  absl::MutexLock lock(&mu);
  if (!socket.ok()) return;
  const absl::Status sent = SendFrame(socket.get(), std::as_bytes(std::span(bytes)), {});
  if (!sent.ok()) LOG(kDebug, "control: a reply found nobody: %s", std::string(sent.message()));
}

ControlServer::ControlServer(UniqueFd listener, Sandbox& sandbox)
    : listener_(std::move(listener)), sandbox_(sandbox) {}

absl::Status ControlServer::Prepare() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.ok()) return HostErrorNow("epoll_create1");
  epoll_event event = {EPOLLIN, {.fd = listener_.get()}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &event) != 0) return HostErrorNow("epoll_ctl");
  return absl::OkStatus();
}

absl::Status ControlServer::EndWith(int fd) {
  lifeline_ = fd;
  epoll_event event = {0, {.fd = fd}};  // the hang-up alone, which is always told
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return HostErrorNow("epoll_ctl");
  return absl::OkStatus();
}

void ControlServer::Run() {
  for (;;) {
    epoll_event event;
    if (epoll_pwait2(epoll_.get(), &event, 1, nullptr, nullptr) != 1) continue;
    if (event.data.fd == lifeline_) OnGoferLost();
    const wait::WakeScope scope;
    if (TellHangUp(event.data.fd)) continue;
    if (event.data.fd == listener_.get()) {
      Accept();
      continue;
    }
    const auto it = connections_.find(event.data.fd);
    if (it == connections_.end()) continue;
    const std::shared_ptr<Connection> connection = it->second;
    if (Serve(connection)) continue;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, event.data.fd, nullptr);
    connections_.erase(it);
    absl::MutexLock lock(&connection->mu);
    connection->socket.reset();
  }
}

absl::Status ControlServer::Create(const control::CreateRequest& request, std::vector<UniqueFd> fds) {
  Sandbox::Created created = TRY_STATUS(sandbox_.Create(request, std::move(fds)));
  const int fd = created.gofer_line.get();
  epoll_event event = {0, {.fd = fd}};  // the hang-up alone, which is always told
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    const absl::Status failed = HostErrorNow("epoll_ctl");
    sandbox_.Destroy(request.container().id()).IgnoreError();
    return failed;
  }
  gofer_lines_[fd] = std::move(created);
  return absl::OkStatus();
}

bool ControlServer::TellHangUp(int fd) {
  const auto it = gofer_lines_.find(fd);
  if (it == gofer_lines_.end()) return false;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  const Sandbox::Created line = std::move(it->second);
  gofer_lines_.erase(it);
  line.on_gofer_lost();
  return true;
}

void ControlServer::Accept() {
  UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket.ok()) return;
  const int fd = socket.get();
  epoll_event event = {EPOLLIN, {.fd = fd}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return;
  connections_[fd] = std::make_shared<Connection>(std::move(socket));
}

bool ControlServer::Serve(const std::shared_ptr<Connection>& connection) {
  int fd;
  {
    absl::MutexLock lock(&connection->mu);
    fd = connection->socket.get();
  }
  absl::StatusOr<Frame> frame = ReceiveFrame(fd, kMaxRequest);
  if (!frame.ok() || frame->end_of_stream) return false;
  control::Request request;
  if (!request.ParseFromArray(frame->payload.data(), static_cast<int>(frame->payload.size()))) {
    connection->Answer(ErrorReply(absl::InvalidArgumentError("malformed request")));
    return false;
  }
  Handle(connection, request, std::move(frame->fds));
  return true;
}

void ControlServer::Handle(const std::shared_ptr<Connection>& connection, const control::Request& request,
                           std::vector<UniqueFd> fds) {
  switch (request.kind_case()) {
    case control::Request::kStart:
      connection->Answer(ReplyOf(sandbox_.Start(request.start().container())));
      return;
    case control::Request::kSignal:
      connection->Answer(ReplyOf(sandbox_.Signal(request.signal())));
      return;
    case control::Request::kWait:
      sandbox_.Wait(request.wait(), [connection](absl::StatusOr<int> wait_status) {
        control::Reply reply;
        if (wait_status.ok()) {
          reply.mutable_wait()->set_wait_status(static_cast<uint32_t>(*wait_status));
        } else {
          reply = ErrorReply(wait_status.status());
        }
        connection->Answer(reply);
      });
      return;
    case control::Request::kExec: {
      Errno error = Errno::kIo;
      const absl::StatusOr<pid_t> pid = sandbox_.Exec(request.exec(), std::move(fds), &error);
      if (!pid.ok()) {
        connection->Answer(ErrorReply(pid.status(), static_cast<int>(error)));
        return;
      }
      control::Reply reply;
      reply.mutable_exec()->set_pid(*pid);
      connection->Answer(reply);
      return;
    }
    case control::Request::kPs: {
      control::Reply reply;
      sandbox_.Ps(request.ps().container(), reply.mutable_ps());
      connection->Answer(reply);
      return;
    }
    case control::Request::kPause:
      connection->Answer(ReplyOf(sandbox_.Pause(request.pause().container())));
      return;
    case control::Request::kResume:
      connection->Answer(ReplyOf(sandbox_.Resume(request.resume().container())));
      return;
    case control::Request::kState:
      connection->Answer(StateReplyOf(sandbox_, request.state().container()));
      return;
    case control::Request::kDebug:
      connection->Answer(DebugReplyOf(sandbox_, request.debug()));
      return;
    case control::Request::kCreate:
      connection->Answer(ReplyOf(Create(request.create(), std::move(fds))));
      return;
    case control::Request::kDestroy:
      connection->Answer(ReplyOf(sandbox_.Destroy(request.destroy().container())));
      return;
    case control::Request::KIND_NOT_SET:
      connection->Answer(ErrorReply(absl::UnimplementedError("unknown request")));
      return;
  }
}

}  // namespace cloister::boot
