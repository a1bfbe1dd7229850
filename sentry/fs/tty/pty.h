#ifndef CLOISTER_SENTRY_FS_TTY_PTY_H_
#define CLOISTER_SENTRY_FS_TTY_PTY_H_

#include <atomic>

#include "sentry/fs/tty/terminal.h"

namespace cloister::tty {

// A pseudoterminal, pty(7): a terminal whose keyboard and screen are a program, the master.
class Pty final : public Terminal {
 public:
  using Terminal::Terminal;

  // The master's side.
  ErrnoOr<size_t> MasterRead(UserBuffer& dst) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<size_t> MasterWrite(UserBuffer& src) ABSL_LOCKS_EXCLUDED(mu_);
  Poll MasterReady() const ABSL_LOCKS_EXCLUDED(mu_);
  wait::WaitQueue& master_queue() { return master_queue_; }
  // What FIONREAD says on the master.
  size_t MasterBytes() const ABSL_LOCKS_EXCLUDED(mu_);
  void SetPacketMode(bool on) ABSL_LOCKS_EXCLUDED(mu_);
  bool packet_mode() const ABSL_LOCKS_EXCLUDED(mu_);

  // TIOCSPTLCK: a locked pty's slave cannot be opened. New ones are.
  std::atomic<bool> locked{true};

  bool IsLocked() const override { return locked.load(); }
  void OnOpen() override;
  void OnClose() override;

 protected:
  void OutputChangedLocked(bool flushed, After* after) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RoomLocked(After* after) override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ModesChangedLocked(const struct termios2& before, After* after) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NotifyKeyboard(Poll events) override { master_queue_.Notify(events); }

 private:
  void AddStatusLocked(uint8_t status, After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  wait::WaitQueue master_queue_;
  int opens_ ABSL_GUARDED_BY(mu_) = 0;
  bool was_opened_ ABSL_GUARDED_BY(mu_) = false;
  bool master_waits_ ABSL_GUARDED_BY(mu_) = false;  // a write found no room
  bool packet_ ABSL_GUARDED_BY(mu_) = false;
  uint8_t status_ ABSL_GUARDED_BY(mu_) = 0;  // TIOCPKT_… that the master has not read
};

}  // namespace cloister::tty

#endif  // CLOISTER_SENTRY_FS_TTY_PTY_H_
