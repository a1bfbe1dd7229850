#ifndef CLOISTER_SENTRY_FS_TTY_HOST_TERMINAL_H_
#define CLOISTER_SENTRY_FS_TTY_HOST_TERMINAL_H_

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "sentry/fs/tty/terminal.h"
#include "sentry/wait/poller.h"

namespace cloister::tty {

class DevPts;

// The terminal of a container with `terminal: true`: keyboard and screen are the slave of a pty of
// the host, in raw mode; editing, echo and job control are ours. The pty was made for this container
// alone, so its open file description is made O_NONBLOCK.
//
// It ends when the host's master is closed; or when no guest has it open or as its controlling
// terminal any more and the host has taken the last byte: then whoever reads the master is to see
// the end, as it would if the guests themselves had the slave.
class HostTerminal final : public Terminal, private wait::HostFdClient {
 public:
  // Puts the host's terminal into raw mode and takes its window size. An error: fd is no terminal.
  // devpts lists it until its end.
  static absl::StatusOr<Ref<HostTerminal>> Make(task::Kernel& kernel, unsigned index, UniqueFd fd,
                                                Ref<DevPts> devpts);
  ~HostTerminal() override;

  // The host says that the size may be another one (SIGWINCH to the monitor).
  void WindowMayHaveChanged() ABSL_LOCKS_EXCLUDED(mu_);
  // Blocks until the host has taken all output, or takes nothing more. For the sandbox' end alone.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);

  void OnOpen() override ABSL_LOCKS_EXCLUDED(mu_);
  void OnClose() override ABSL_LOCKS_EXCLUDED(mu_);
  pid_t Disassociate() override;

 protected:
  void OutputChangedLocked(bool flushed, After* after) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RoomLocked(After* after) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

 private:
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);
  HostTerminal(task::Kernel& kernel, unsigned index, UniqueFd fd, Ref<DevPts> devpts);

  void OnHostEvents(Poll events) override ABSL_LOCKS_EXCLUDED(mu_);
  void PullLocked(After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes as much as the host takes. ^S holds nothing back once nobody can type ^Q for it.
  void PushLocked(size_t most) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsUnusedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndIfUnused() ABSL_LOCKS_EXCLUDED(mu_);
  void EndIfUnusedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GoneLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The rest of GoneLocked, on the poller's thread.
  void End() ABSL_LOCKS_EXCLUDED(mu_);

  const Ref<DevPts> devpts_;
  UniqueFd fd_ ABSL_GUARDED_BY(mu_);  // none after the end
  int opens_ ABSL_GUARDED_BY(mu_) = 0;
  bool was_opened_ ABSL_GUARDED_BY(mu_) = false;
  // The host may have bytes that there was no room for; it does not tell twice (edge-triggered).
  bool pending_ ABSL_GUARDED_BY(mu_) = true;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace cloister::tty

#endif  // CLOISTER_SENTRY_FS_TTY_HOST_TERMINAL_H_
