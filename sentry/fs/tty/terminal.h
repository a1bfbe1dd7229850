#ifndef CLOISTER_SENTRY_FS_TTY_TERMINAL_H_
#define CLOISTER_SENTRY_FS_TTY_TERMINAL_H_

#include <sys/ioctl.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/fs/tty/line_discipline.h"
#include "sentry/task/kernel.h"
#include "sentry/task/session.h"
#include "sentry/vfs/file_description.h"
#include "sentry/wait/poller.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::tty {

using vfs::UserBuffer;
using wait::Poll;

// A terminal as programs know it: a line discipline above something that has a keyboard and a
// screen (a pty's master, the host's terminal). Linux: struct tty_struct. Thread-safe.
//
// Lock order:
//   Kernel::tree_mu()
//     Terminal::mu_
class Terminal : public task::ControllingTerminal, private wait::TimerClient {
 public:
  // index: N of /dev/pts/N.
  Terminal(task::Kernel& kernel, unsigned index);
  ~Terminal() override;

  task::Kernel& kernel() const { return kernel_; }
  unsigned index() const { return index_; }

  // task::ControllingTerminal.
  dev_t device() const override;
  std::string name() const override;
  pid_t foreground_group() const override { return foreground_.load(std::memory_order_acquire); }
  pid_t Disassociate() override;

  // Job control; guest pids, 0: none. Changed under Kernel::tree_mu().
  pid_t session() const { return session_.load(std::memory_order_acquire); }
  void SetSession(pid_t session, pid_t foreground);
  void SetForeground(pid_t group) { foreground_.store(group, std::memory_order_release); }

  // The programs' side. nonblocking: what there is, even where VMIN wants more.
  ErrnoOr<size_t> Read(UserBuffer& dst, bool nonblocking) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<size_t> Write(UserBuffer& src) ABSL_LOCKS_EXCLUDED(mu_);
  Poll Ready() const ABSL_LOCKS_EXCLUDED(mu_);
  wait::WaitQueue& queue() { return queue_; }

  struct termios2 Termios() const ABSL_LOCKS_EXCLUDED(mu_);
  // flush_input: TCSETSF.
  void SetTermios(const struct termios2& termios, bool flush_input) ABSL_LOCKS_EXCLUDED(mu_);
  struct winsize WindowSize() const ABSL_LOCKS_EXCLUDED(mu_);
  // SIGWINCH for the foreground group where it changes.
  void SetWindowSize(const struct winsize& size) ABSL_LOCKS_EXCLUDED(mu_);
  size_t InputBytes() const ABSL_LOCKS_EXCLUDED(mu_);
  size_t OutputBytes() const ABSL_LOCKS_EXCLUDED(mu_);
  // TCFLSH, TCXONC: the argument as given (kInval).
  ErrnoOrVoid Flush(uint64_t which) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Flow(uint64_t action) ABSL_LOCKS_EXCLUDED(mu_);
  // TIOCEXCL: further opens are kBusy, except for CAP_SYS_ADMIN.
  std::atomic<bool> exclusive{false};

  // The keyboard's side is gone: reads end, writes are kIo, the session's leader gets SIGHUP.
  void HangUp() ABSL_LOCKS_EXCLUDED(mu_, kernel_.tree_mu());
  bool hung_up() const { return hung_up_.load(std::memory_order_acquire); }

  // Sends a signal of the kernel's to the foreground process group.
  void SignalForeground(int signo) ABSL_LOCKS_EXCLUDED(kernel_.tree_mu());

  // TIOCSPTLCK: whether the programs' side may not be opened now.
  virtual bool IsLocked() const { return false; }
  // One more, or one less, open description of the programs' side.
  virtual void OnOpen() {}
  virtual void OnClose() {}

 protected:
  // The last reference may go under Kernel::tree_mu(), where a destructor must not wait for the
  // poller: it is destroyed on the poller's thread.
  void OnLastRef() override;

  // What an operation under mu_ leaves to be done without it.
  struct After {
    Poll programs;  // to notify on queue()
    Poll keyboard;  // to notify behind the backend
    LineDiscipline::Effects effects;
  };
  // Bytes for the screen may have come, or may have been thrown away (flushed).
  virtual void OutputChangedLocked(bool flushed, After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // There is room for more of the keyboard's bytes.
  virtual void RoomLocked(After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // The modes have changed (pty packet mode).
  virtual void ModesChangedLocked(const struct termios2& /*before*/, After* /*after*/)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {}
  virtual void NotifyKeyboard(Poll /*events*/) {}

  // Feeds bytes from the keyboard; at most discipline_.Room() of them.
  void InputLocked(std::string_view bytes, After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Bytes that the screen may have now: none while output is stopped.
  size_t SendableLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Wakes and signals. Without any lock.
  void Finish(const After& after) ABSL_LOCKS_EXCLUDED(mu_, kernel_.tree_mu());

  static constexpr size_t kOutputLimit = 8192;  // writers wait beyond it
  static constexpr size_t kEchoLimit = 16384;   // echo is dropped beyond it

  mutable absl::Mutex mu_;
  LineDiscipline discipline_ ABSL_GUARDED_BY(mu_);
  std::string output_ ABSL_GUARDED_BY(mu_);  // processed, on its way to the screen

 private:
  void OnTimer() override;
  // What a read gets; kAgain for nothing yet.
  ErrnoOr<size_t> TakeLocked(std::span<char> bytes, bool nonblocking) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // kAgain until VMIN and VTIME are satisfied. Says how many bytes may be taken otherwise.
  ErrnoOrVoid CheckMinimumLocked(size_t wanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOrVoid WaitTimeLocked(size_t have, uint64_t tenths) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  task::Kernel& kernel_;
  const unsigned index_;
  std::atomic<pid_t> foreground_{0};
  std::atomic<pid_t> session_{0};
  std::atomic<bool> hung_up_{false};
  wait::WaitQueue queue_;
  struct winsize size_ ABSL_GUARDED_BY(mu_) = {};
  // VTIME: a read waits until then, having seen so many bytes. 0: none does.
  wait::MonotonicNs read_deadline_ ABSL_GUARDED_BY(mu_) = 0;
  size_t read_seen_ ABSL_GUARDED_BY(mu_) = 0;
};

// Sends a signal of the kernel's to every process of a group.
void SignalGroup(task::Kernel& kernel, pid_t group, int signo) ABSL_LOCKS_EXCLUDED(kernel.tree_mu());

}  // namespace cloister::tty

#endif  // CLOISTER_SENTRY_FS_TTY_TERMINAL_H_
