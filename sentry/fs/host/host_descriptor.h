#ifndef CLOISTER_SENTRY_FS_HOST_HOST_DESCRIPTOR_H_
#define CLOISTER_SENTRY_FS_HOST_HOST_DESCRIPTOR_H_

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <span>

#include "base/error/errno_or.h"
#include "base/host/unique_fd.h"
#include "base/own/ref.h"
#include "sentry/wait/poll.h"
#include "sentry/wait/poller.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::hostfs {

using wait::Poll;

// A descriptor of the host that was donated to a container (its stdin, say), read and written
// without ever blocking. Its open file description may be shared with processes outside: O_NONBLOCK
// and everything else of it stay as they are. Shared by the inode and the open files. Thread-safe.
//
// SIGPIPE must be ignored in this process: a write to a pipe without readers raises it.
class HostDescriptor final : public RefCounted, private wait::HostFdClient {
 public:
  enum class Kind { kRegular, kPipe, kSocket, kNull, kTty, kOther };

  // kInval for what a container cannot be given: directories, block devices, O_PATH descriptors.
  static ErrnoOr<Ref<HostDescriptor>> Make(UniqueFd fd);
  ~HostDescriptor() override;

  Kind kind() const { return kind_; }
  int fd() const { return fd_.get(); }
  // Access mode and O_APPEND, as they were when it was donated.
  int flags() const { return flags_; }
  bool readable() const { return (flags_ & O_ACCMODE) != O_WRONLY; }
  bool writable() const { return (flags_ & O_ACCMODE) != O_RDONLY; }

  ErrnoOr<struct stat> Stat() const;

  // For streams: bytes at once, 0 at the end; kAgain where it would block. A write may be short.
  ErrnoOr<size_t> Read(std::span<std::byte> dst);
  ErrnoOr<size_t> Write(std::span<const std::byte> src);

  // For regular files. offset -1: at the host's own position, which then moves.
  ErrnoOr<size_t> ReadAt(std::span<std::byte> dst, int64_t offset);
  ErrnoOr<size_t> WriteAt(std::span<const std::byte> src, int64_t offset, bool append);

  Poll Ready() const;
  // Null: always ready (what epoll(7) refuses).
  wait::WaitQueue* queue() { return watched_ ? &queue_ : nullptr; }

 private:
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);
  HostDescriptor(UniqueFd fd, Kind kind, int flags);

  void OnHostEvents(Poll events) override { queue_.Notify(events); }
  ErrnoOrVoid CheckReady(short events) const;
  // Bytes that a write may have after poll(2) said "writable", without blocking.
  size_t SafeWrite() const;

  const UniqueFd fd_;
  const Kind kind_;
  const int flags_;
  // Whether the host's file takes RWF_NOWAIT; found out by the first refusal.
  std::atomic<bool> nowait_{true};
  bool watched_ = false;  // immutable after construction
  wait::WaitQueue queue_;
};

}  // namespace cloister::hostfs

#endif  // CLOISTER_SENTRY_FS_HOST_HOST_DESCRIPTOR_H_
