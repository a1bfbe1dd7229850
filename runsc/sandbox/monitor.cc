#include "runsc/sandbox/monitor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/error/status.h"
#include "base/host/fd_passing.h"
#include "runsc/sandbox/lockdown.h"
#include "runsc/sandbox/process.h"
#include "sentry/control/control.pb.h"

namespace cloister::sandbox {
namespace {

constexpr int kSocketFd = 3;
constexpr int kConfirmFd = 4;
constexpr int kTtyFd = 5;
constexpr int kFirstTreeFd = 6;
constexpr int kSentryGone = 128 + SIGKILL;
constexpr size_t kMaxMessageBytes = 64;

[[noreturn]] void EndLike(uint32_t wait_status) {
  const int status = static_cast<int>(wait_status);
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  if (signal > 0 && signal < NSIG) {
    ::signal(signal, SIG_DFL);
    SetSignalMask(0);
    kill(getpid(), signal);
  }
  _exit(128 + signal);
}

// Returns unless the process has ended.
void ReadFromSentry() {
  const absl::StatusOr<Frame> frame = ReceiveFrame(kSocketFd, kMaxMessageBytes);
  if (!frame.ok() || frame->end_of_stream) _exit(kSentryGone);
  control::MonitorMessage message;
  if (!message.ParseFromArray(frame->payload.data(), static_cast<int>(frame->payload.size())))
    _exit(kSentryGone);
  if (message.kind_case() == control::MonitorMessage::kWaitStatus) EndLike(message.wait_status());
}

void ForwardSignal(int signals) {
  signalfd_siginfo info;
  if (read(signals, &info, sizeof info) != sizeof info) return;
  control::MonitorMessage message;
  message.set_signal(static_cast<int32_t>(info.ssi_signo));
  const std::string bytes = message.SerializeAsString();
  if (!SendFrame(kSocketFd, std::as_bytes(std::span(bytes)), {}).ok()) _exit(kSentryGone);
}

// 'K' keeps the monitor alive for good; the end of the pipe before it ends the monitor.
void ReadConfirmation(pollfd* entry) {
  char byte = 0;
  ssize_t got;
  do {
    got = read(kConfirmFd, &byte, 1);
  } while (got < 0 && errno == EINTR);
  if (got != 1 || byte != 'K') _exit(kSentryGone);
  close(kConfirmFd);
  entry->fd = -1;
}

// The trees have got new numbers in the child, which gives them up again.
absl::Status EnterPlacedView(const std::vector<ViewMount>& view) {
  std::vector<ViewMount> placed;
  for (const ViewMount& one : view) {
    placed.push_back(
        {UniqueFd(kFirstTreeFd + static_cast<int>(placed.size())), one.destination, one.readonly});
  }
  return EnterContainerView(placed);
}

void LockDown() {
  prctl(PR_SET_NAME, "runsc-monitor");
  if (chdir("/") != 0) _exit(kSentryGone);
  // Best effort: a caller without privilege has nothing to drop.
  [[maybe_unused]] const absl::Status status = DropAllCapabilities();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

}  // namespace

absl::StatusOr<MonitorProcess> StartMonitor(int tty, std::vector<ViewMount> view, uint64_t clone_flags) {
  int sockets[2], pipe_ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return HostErrorNow("socketpair");
  UniqueFd sentry_end(sockets[0]), monitor_end(sockets[1]);
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return HostErrorNow("pipe2");
  UniqueFd confirm_read(pipe_ends[0]), confirm_write(pipe_ends[1]);
  SpawnOptions spawn;
  spawn.argv = {"runsc-monitor"};
  spawn.clone_flags = clone_flags;
  spawn.fds = {{monitor_end.get(), kSocketFd}, {confirm_read.get(), kConfirmFd}};
  if (tty >= 0) spawn.fds.push_back({tty, kTtyFd});
  spawn.block_signals = true;  // those that arrive before MonitorMain wait for it
  for (size_t i = 0; i < view.size(); ++i) {
    spawn.fds.push_back({view[i].tree.get(), kFirstTreeFd + static_cast<int>(i)});
  }
  spawn.in_child = [tty, &view] {
    RETURN_IF_ERROR(EnterPlacedView(view));
    if (tty < 0) return absl::OkStatus();
    if (ioctl(kTtyFd, TIOCSCTTY, 0) != 0) return HostErrorNow("TIOCSCTTY");
    // The session keeps the terminal; the descriptor would keep its master from seeing the end.
    close(kTtyFd);
    return absl::OkStatus();
  };
  const pid_t pid = TRY_STATUS(SpawnSelf(spawn));
  return MonitorProcess{pid, std::move(sentry_end), std::move(confirm_write)};
}

absl::Status ConfirmMonitor(MonitorProcess& monitor) {
  ssize_t written;
  do {
    written = write(monitor.confirm.get(), "K", 1);
  } while (written < 0 && errno == EINTR);
  // EPIPE: the process has ended already, which its wait status tells.
  if (written < 0 && errno != EPIPE) return HostErrorNow("write");
  monitor.confirm.reset();
  return absl::OkStatus();
}

int MonitorMain(int, char**) {
  SetSignalMask(kAllSignals);
  LockDown();
  const uint64_t set = kAllSignals;
  const int signals = static_cast<int>(syscall(SYS_signalfd4, -1, &set, sizeof set, SFD_CLOEXEC));
  if (signals < 0) return kSentryGone;
  pollfd entries[] = {{kSocketFd, POLLIN, 0}, {signals, POLLIN, 0}, {kConfirmFd, POLLIN, 0}};
  while (true) {
    if (poll(entries, std::size(entries), -1) < 0) {
      if (errno == EINTR) continue;
      return kSentryGone;
    }
    if (entries[0].revents != 0) ReadFromSentry();
    if (entries[1].revents != 0) ForwardSignal(signals);
    if (entries[2].revents != 0) ReadConfirmation(&entries[2]);
  }
}

}  // namespace cloister::sandbox
