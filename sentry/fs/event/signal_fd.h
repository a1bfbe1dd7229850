#ifndef CLOISTER_SENTRY_FS_EVENT_SIGNAL_FD_H_
#define CLOISTER_SENTRY_FS_EVENT_SIGNAL_FD_H_

#include <signal.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "sentry/fs/event/anon_file.h"

namespace cloister::event {

// The signals of whoever reads a signalfd; implemented by sentry/syscalls. Thread-safe.
class SignalSource : public RefCounted {
 public:
  // Takes a pending signal of mask (bit n-1: signal n) out of its queue.
  virtual std::optional<siginfo_t> Take(uint64_t mask) = 0;
  // Pending signals, blocked or not, as the same bits.
  virtual uint64_t Pending() = 0;
  // Notified (kIn) when a signal is queued.
  virtual wait::WaitQueue& signal_queue() = 0;
};

// signalfd(2): reads take pending signals of a mask, one signalfd_siginfo each.
class SignalFd final : public AnonFile {
 public:
  SignalFd(int flags, auth::CredRef cred, Ref<SignalSource> source, uint64_t mask);

  // signalfd(2) on an existing file. SIGKILL and SIGSTOP are left out.
  void SetMask(uint64_t mask);

  ErrnoOr<size_t> Read(UserBuffer& dst) override;
  Poll Ready() const override;
  wait::WaitQueue* wait_queue() override { return &source_->signal_queue(); }
  std::string FdInfo() const override;
  SignalFd* AsSignal() override { return this; }

 private:
  const Ref<SignalSource> source_;
  std::atomic<uint64_t> mask_;
};

}  // namespace cloister::event

#endif  // CLOISTER_SENTRY_FS_EVENT_SIGNAL_FD_H_
