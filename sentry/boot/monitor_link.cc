#include "sentry/boot/monitor_link.h"

#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/host/fd_passing.h"
#include "base/log/log.h"
#include "sentry/control/control.pb.h"
#include "sentry/task/task.h"

namespace cloister::boot {
namespace {

constexpr uint32_t kMaxMessage = 64;

}  // namespace

std::shared_ptr<MonitorLink> MonitorLink::Make(UniqueFd socket, std::function<void()> on_window_change) {
  return std::shared_ptr<MonitorLink>(new MonitorLink(std::move(socket), std::move(on_window_change)));
}

MonitorLink::MonitorLink(UniqueFd socket, std::function<void()> on_window_change)
    : on_window_change_(std::move(on_window_change)), socket_(std::move(socket)) {}

MonitorLink::~MonitorLink() {
  if (socket_.ok()) wait::Poller::Get().Unwatch(socket_.get());
}

void MonitorLink::Attach(Ref<task::ThreadGroup> group) {
  int fd;
  {
    absl::MutexLock lock(&mu_);
    group_ = std::move(group);
    fd = socket_.get();
  }
  const absl::Status watched = wait::Poller::Get().Watch(fd, *this);
  if (!watched.ok()) LOG(kError, "the monitor's socket: %s", std::string(watched.message()));
}

void MonitorLink::ReportExit(int wait_status) {
  UniqueFd socket;
  {
    absl::MutexLock lock(&mu_);
    socket = std::move(socket_);
    group_.reset();
  }
  if (!socket.ok()) return;
  wait::Poller::Get().Unwatch(socket.get());
  control::MonitorMessage message;
  message.set_wait_status(static_cast<uint32_t>(wait_status));
  const std::string bytes = message.SerializeAsString();
  const absl::Status sent = SendFrame(socket.get(), std::as_bytes(std::span(bytes)), {});
  if (!sent.ok()) LOG(kWarning, "the monitor is gone: %s", std::string(sent.message()));
}

void MonitorLink::OnHostEvents(wait::Poll) {
  const std::shared_ptr<MonitorLink> self = weak_from_this().lock();
  if (self == nullptr) return;
  for (;;) {
    char bytes[256];
    ssize_t got;
    {
      absl::MutexLock lock(&mu_);
      if (!socket_.ok()) return;
      iovec piece = {bytes, sizeof bytes};
      msghdr message = {};
      message.msg_iov = &piece;
      message.msg_iovlen = 1;
      got = recvmsg(socket_.get(), &message, MSG_DONTWAIT);  // recv(2) is not on the filter's list
    }
    if (got > 0) {
      received_.append(bytes, static_cast<size_t>(got));
      TakeMessages();
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else if (got < 0 && errno == EAGAIN) {
      return;
    } else {
      Deliver(SIGKILL);
      return;
    }
  }
}

void MonitorLink::TakeMessages() {
  uint32_t length;
  while (received_.size() >= sizeof length) {
    memcpy(&length, received_.data(), sizeof length);
    if (length > kMaxMessage) {
      Deliver(SIGKILL);
      return;
    }
    if (received_.size() < sizeof length + length) return;
    control::MonitorMessage message;
    const bool parsed = message.ParseFromArray(received_.data() + sizeof length, static_cast<int>(length));
    received_.erase(0, sizeof length + length);
    if (parsed && message.has_signal()) Deliver(message.signal());
  }
}

void MonitorLink::Deliver(int signo) {
  if (!signal::IsValid(signo)) return;
  if (signo == SIGWINCH && on_window_change_) {
    on_window_change_();
    return;
  }
  Ref<task::ThreadGroup> group;
  {
    absl::MutexLock lock(&mu_);
    group = group_;
  }
  if (!group) return;
  siginfo_t info = {};
  info.si_signo = signo;
  info.si_code = SI_USER;
  absl::MutexLock lock(&group->kernel().tree_mu());
  task::Task::SendToGroupLocked(*group, info);
  task::Task::EndHeldLocked(*group, signo);
}

}  // namespace cloister::boot
