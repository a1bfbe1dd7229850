#ifndef CLOISTER_SENTRY_FS_PIPE_PIPE_CHANNEL_H_
#define CLOISTER_SENTRY_FS_PIPE_PIPE_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/usermem/user_buffer.h"
#include "sentry/wait/poll.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::pipe {

using usermem::UserBuffer;
using wait::Poll;

inline constexpr size_t kPipeBuf = 4096;              // PIPE_BUF: writes up to it are atomic
inline constexpr size_t kDefaultCapacity = 64 << 10;  // pipe(7)
inline constexpr size_t kMaxCapacity = 1 << 20;       // /proc/sys/fs/pipe-max-size

// The bytes between the ends of a pipe or FIFO. Linux: struct pipe_inode_info. Shared by the open
// files of both ends; emptied when the last of them goes. Thread-safe.
class PipeChannel : public RefCounted {
 public:
  PipeChannel();
  ~PipeChannel() override;

  // An open file came or went. Each wakes the other end.
  void OpenEnd(bool readable, bool writable) ABSL_LOCKS_EXCLUDED(mu_);
  void CloseEnd(bool readable, bool writable) ABSL_LOCKS_EXCLUDED(mu_);
  // How often each end was opened so far, and how often it is open now: fifo(7)'s rendezvous.
  struct Ends {
    uint64_t reader_opens, writer_opens;
    uint32_t readers, writers;
  };
  Ends ends() const ABSL_LOCKS_EXCLUDED(mu_);

  // kAgain when empty and somebody may still write; 0 at the end. One packet at most (O_DIRECT).
  ErrnoOr<size_t> Read(UserBuffer& dst) ABSL_LOCKS_EXCLUDED(mu_);
  // All of src if it is at most kPipeBuf, else what fits; kAgain if that is nothing. kPipe without
  // readers. as_packets: O_DIRECT, each kPipeBuf bytes are a packet of their own.
  ErrnoOr<size_t> Write(UserBuffer& src, bool as_packets) ABSL_LOCKS_EXCLUDED(mu_);

  // Of an end that has these rights. seen_writer_opens: as Ends when the reader was opened.
  Poll Ready(bool readable, bool writable, uint64_t seen_writer_opens) const ABSL_LOCKS_EXCLUDED(mu_);
  wait::WaitQueue& queue() { return queue_; }

  size_t queued() const ABSL_LOCKS_EXCLUDED(mu_);
  size_t capacity() const ABSL_LOCKS_EXCLUDED(mu_);
  // F_SETPIPE_SZ: rounded up to a power of two of pages. kBusy if the bytes queued do not fit,
  // kPerm above kMaxCapacity, or where all pipes have too much, unless privileged; kInval above 2^31, kNoMem
  // above 64 MiB, or 256 MiB in all.
  ErrnoOr<size_t> SetCapacity(size_t bytes, bool privileged) ABSL_LOCKS_EXCLUDED(mu_);

  // For splice(2) out of the pipe: a copy of up to max bytes from the front (empty: the end). They
  // stay there, and other readers get kAgain, until EndTake says how many are spent. kAgain as Read.
  ErrnoOr<std::vector<std::byte>> BeginTake(size_t max) ABSL_LOCKS_EXCLUDED(mu_);
  void EndTake(size_t spent) ABSL_LOCKS_EXCLUDED(mu_);
  // tee(2): the same bytes, which stay for others.
  ErrnoOr<std::vector<std::byte>> Peek(size_t max) ABSL_LOCKS_EXCLUDED(mu_);
  // For splice(2), tee(2) and sendfile(2) into the pipe: bytes that fit now; kAgain for none, kPipe.
  ErrnoOr<size_t> FreeSpace() const ABSL_LOCKS_EXCLUDED(mu_);
  // Appends all of bytes even if the space has gone meanwhile (what was read elsewhere must not be lost).
  ErrnoOrVoid Put(std::span<const std::byte> bytes) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Positions in the stream, counted from the pipe's birth.
  struct Packet {
    uint64_t start, end;
  };

  size_t UsedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return tail_ - head_; }
  size_t FreeLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return capacity_ > UsedLocked() ? capacity_ - UsedLocked() : 0;
  }
  bool WritableLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return FreeLocked() >= kPipeBuf; }
  void ReserveLocked(size_t more) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReallocateLocked(size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::span<std::byte> PieceLocked(uint64_t position, size_t want) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<size_t> ReadLocked(UserBuffer& dst) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<size_t> WriteLocked(UserBuffer& src, size_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<size_t> WritePacketsLocked(UserBuffer& src, size_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<std::vector<std::byte>> CopyFrontLocked(size_t max) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AdvanceLocked(uint64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  wait::WaitQueue queue_;
  mutable absl::Mutex mu_;  // leaf
  std::unique_ptr<std::byte[]> ring_ ABSL_GUARDED_BY(mu_);
  size_t ring_size_ ABSL_GUARDED_BY(mu_) = 0;  // 0 or a power of two
  size_t capacity_ ABSL_GUARDED_BY(mu_);
  uint64_t head_ ABSL_GUARDED_BY(mu_) = 0;  // next byte to read
  uint64_t tail_ ABSL_GUARDED_BY(mu_) = 0;  // next byte to write
  std::deque<Packet> packets_ ABSL_GUARDED_BY(mu_);
  bool taken_ ABSL_GUARDED_BY(mu_) = false;  // between BeginTake and EndTake
  Ends ends_ ABSL_GUARDED_BY(mu_) = {};
};

}  // namespace cloister::pipe

#endif  // CLOISTER_SENTRY_FS_PIPE_PIPE_CHANNEL_H_
