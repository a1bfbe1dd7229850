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
#include "runsc/sandbox/pty.h"

namespace cloister::sandbox {
namespace {

// Bytes on their way from one descriptor to another; at most one buffer's worth waits.
struct Copy {
  int from;
  int to;
  bool open = true;
  size_t begin = 0;
  size_t end = 0;
  char buffer[8192] = {};

  bool pending() const { return begin < end; }
};

constexpr int kQuietMilliseconds = 50;

bool WouldBlock() { return errno == EAGAIN || errno == EINTR; }

void Fill(Copy* copy) {
  const ssize_t got = read(copy->from, copy->buffer, sizeof copy->buffer);
  if (got < 0 && WouldBlock()) return;
  // EIO on a pty's master: every slave is closed.
  if (got <= 0) {
    copy->open = false;
    return;
  }
  copy->begin = 0;
  copy->end = static_cast<size_t>(got);
}

void Drain(Copy* copy) {
  const ssize_t put = write(copy->to, copy->buffer + copy->begin, copy->end - copy->begin);
  if (put < 0 && WouldBlock()) return;
  if (put < 0) {
    copy->open = false;
    copy->begin = copy->end;
    return;
  }
  copy->begin += static_cast<size_t>(put);
}

pollfd Interest(const Copy& copy) {
  if (copy.pending()) return {copy.to, POLLOUT, 0};
  return {copy.open ? copy.from : -1, POLLIN, 0};
}

void Step(Copy* copy, const pollfd& entry) {
  if (entry.fd < 0 || entry.revents == 0) return;
  if (copy->pending()) {
    Drain(copy);
  } else {
    Fill(copy);
  }
}

// What the program wrote before it ended is still in the pty, or on its way through the kernel's
// queue to it. Ends at the hang-up, or where others keep the terminal open, when nothing comes.
void Flush(Copy* copy) {
  while (copy->open) {
    if (copy->pending()) {
      pollfd entry = {copy->to, POLLOUT, 0};
      if (poll(&entry, 1, 1000) <= 0) return;
      Drain(copy);
      continue;
    }
    pollfd entry = {copy->from, POLLIN, 0};
    if (poll(&entry, 1, kQuietMilliseconds) <= 0) return;
    Fill(copy);
  }
}

int ExitCode(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

bool IsForwarded(int signal) {
  return signal != SIGCHLD && signal != SIGPIPE && signal != SIGURG && signal != SIGWINCH;
}

// The monitor's exit code once it has ended.
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
  if (ended == monitor) return std::optional<int>(ExitCode(status));
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
  Copy input{STDIN_FILENO, master.get()}, output{master.get(), STDOUT_FILENO};
  if (master.ok()) {
    raw.emplace(STDIN_FILENO);
    CopyWindowSize(STDIN_FILENO, master.get());
    fcntl(master.get(), F_SETFL, fcntl(master.get(), F_GETFL) | O_NONBLOCK);
  } else {
    input.open = output.open = false;
  }
  while (true) {
    const absl::StatusOr<std::optional<int>> ended = TakeSignals(signals_.get(), monitor, master.get());
    if (!ended.ok()) return ended.status();
    if (ended->has_value()) {
      Flush(&output);
      return **ended;
    }
    pollfd entries[] = {{signals_.get(), POLLIN, 0}, Interest(input), Interest(output)};
    if (poll(entries, std::size(entries), -1) < 0) {
      if (errno == EINTR) continue;
      return HostErrorNow("poll");
    }
    Step(&input, entries[1]);
    Step(&output, entries[2]);
  }
}

}  // namespace cloister::sandbox
