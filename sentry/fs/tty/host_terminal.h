#ifndef CLOISTER_SENTRY_FS_TTY_HOST_TERMINAL_H_
#define CLOISTER_SENTRY_FS_TTY_HOST_TERMINAL_H_

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "sentry/fs/tty/terminal.h"
#include "sentry/wait/poller.h"

namespace cloister::tty {

// The terminal of a container with `terminal: true`: keyboard and screen are the slave of a pty of
// the host, in raw mode; editing, echo and job control are ours. The pty was made for this container
// alone, so its open file description is made O_NONBLOCK.
class HostTerminal final : public Terminal, private wait::HostFdClient {
 public:
  // Puts the host's terminal into raw mode and takes its window size. An error: fd is no terminal.
  static absl::StatusOr<Ref<HostTerminal>> Make(task::Kernel& kernel, unsigned index, UniqueFd fd);
  ~HostTerminal() override;

  // The host says that the size may be another one (SIGWINCH to the monitor).
  void WindowMayHaveChanged();

 protected:
  void OutputChangedLocked(bool flushed, After* after) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RoomLocked(After* after) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

 private:
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);
  HostTerminal(task::Kernel& kernel, unsigned index, UniqueFd fd);

  void OnHostEvents(Poll events) override;
  void PullLocked(After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GoneLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const UniqueFd fd_;
  // The host may have bytes that there was no room for; it does not tell twice (edge-triggered).
  bool pending_ ABSL_GUARDED_BY(mu_) = true;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace cloister::tty

#endif  // CLOISTER_SENTRY_FS_TTY_HOST_TERMINAL_H_
