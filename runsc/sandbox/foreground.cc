#include "runsc/sandbox/foreground.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/error/status.h"
#include "base/host/byte_copy.h"
#include "runsc/sandbox/pty.h"

namespace cloister::sandbox {
namespace {

bool IsForwarded(int signal) {
  return signal != SIGCHLD && signal != SIGPIPE && signal != SIGURG && signal != SIGWINCH;
}

// The monitor's wait status once it has ended.
absl::StatusOr<std::optional<int>> TakeSignals(int signals, pid_t monitor, int master) {
  signalfd_siginfo info;
  while (read(signals, &info, sizeof info) == sizeof info) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (IsForwarded(signal)) kill(monitor, signal);
    if (signal == SIGWINCH && master >= 0) CopyWindowSize(STDIN_FILENO, master);
    // Without a pty of its own the container shares the caller's terminal.
    if (signal == SIGWINCH && master < 0) kill(monitor, signal);
  }
  int status;
  const pid_t ended = waitpid(monitor, &status, WNOHANG);
  if (ended == monitor) return std::optional<int>(status);
  if (ended < 0 && errno != EINTR) return HostErrorNow("waitpid");
  return std::optional<int>();
}

}  // namespace

absl::StatusOr<Foreground> Foreground::Prepare() {
  sigset_t all;
  sigfillset(&all);
  // Faults of runsc's own must kill it.
  for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&all, fault);
  // Stopping is the caller's shell's business.
  for (const int stop : {SIGTSTP, SIGTTIN, SIGTTOU}) sigdelset(&all, stop);
  if (sigprocmask(SIG_BLOCK, &all, nullptr) != 0) return HostErrorNow("sigprocmask");
  UniqueFd signals(signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.ok()) return HostErrorNow("signalfd");
  return Foreground(std::move(signals));
}

absl::StatusOr<int> Foreground::Run(pid_t monitor, UniqueFd master) {
  std::optional<RawTerminal> raw;
  ByteCopy input(master.ok() ? STDIN_FILENO : -1, master.get());
  // What the program wrote before it ended is still in the pty when it has.
  ByteCopy output(master.get(), STDOUT_FILENO);
  if (master.ok()) {
    raw.emplace(STDIN_FILENO);
    CopyWindowSize(STDIN_FILENO, master.get());
    fcntl(master.get(), F_SETFL, fcntl(master.get(), F_GETFL) | O_NONBLOCK);
  }
  while (true) {
    const absl::StatusOr<std::optional<int>> ended = TakeSignals(signals_.get(), monitor, master.get());
    if (!ended.ok()) return ended.status();
    if (ended->has_value()) {
      output.Flush();
      return **ended;
    }
    pollfd entries[] = {{signals_.get(), POLLIN, 0}, input.Interest(), output.Interest()};
    if (poll(entries, std::size(entries), -1) < 0) {
      if (errno == EINTR) continue;
      return HostErrorNow("poll");
    }
    input.Step(entries[1]);
    output.Step(entries[2]);
  }
}

int ShellStatus(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

}  // namespace cloister::sandbox
