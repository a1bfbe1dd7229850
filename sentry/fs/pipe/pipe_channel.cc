#include "sentry/fs/pipe/pipe_channel.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

namespace cloister::pipe {
namespace {

constexpr size_t kFirstRing = 4096;
// /proc/sys/fs/pipe-user-pages-soft: above it a new pipe gets two pages only.
constexpr size_t kSoftTotal = size_t{64} << 20;
constexpr size_t kSmallCapacity = 2 * kPipeBuf;
// Even root gets no larger pipe, nor more of all together: the memory is the sentry's.
constexpr size_t kHardCapacity = size_t{64} << 20;
constexpr size_t kHardTotal = size_t{256} << 20;

// Sum of the capacities of all pipes.
std::atomic<size_t> total_capacity{0};

// Takes what a pipe grows by from what is left for all. Linux: too_many_pipe_buffers_soft and _hard.
ErrnoOrVoid TakeCapacity(size_t more, bool privileged) {
  const size_t total = total_capacity.fetch_add(more, std::memory_order_relaxed) + more;
  const bool too_much = total > (privileged ? kHardTotal : kSoftTotal);
  if (!too_much) return {};
  total_capacity.fetch_sub(more, std::memory_order_relaxed);
  return privileged ? Errno::kNoMem : Errno::kPerm;
}

size_t FirstCapacity() {
  return total_capacity.load(std::memory_order_relaxed) < kSoftTotal ? kDefaultCapacity : kSmallCapacity;
}

}  // namespace

PipeChannel::PipeChannel() {
  absl::MutexLock lock(&mu_);
  capacity_ = FirstCapacity();
  total_capacity.fetch_add(capacity_, std::memory_order_relaxed);
}

PipeChannel::~PipeChannel() { total_capacity.fetch_sub(capacity(), std::memory_order_relaxed); }

void PipeChannel::OpenEnd(bool readable, bool writable) {
  {
    absl::MutexLock lock(&mu_);
    if (readable) {
      ++ends_.readers;
      ++ends_.reader_opens;
    }
    if (writable) {
      ++ends_.writers;
      ++ends_.writer_opens;
    }
  }
  queue_.Notify(Poll::kIn | Poll::kOut);
}

void PipeChannel::CloseEnd(bool readable, bool writable) {
  Poll told;
  {
    absl::MutexLock lock(&mu_);
    if (readable && --ends_.readers == 0) told |= Poll::kErr | Poll::kOut;
    if (writable && --ends_.writers == 0) told |= Poll::kHup | Poll::kIn;
    if (ends_.readers == 0 && ends_.writers == 0) {
      ring_.reset();
      ring_size_ = 0;
      head_ = tail_;
      packets_.clear();
    }
  }
  if (told) queue_.Notify(told);
}

PipeChannel::Ends PipeChannel::ends() const {
  absl::MutexLock lock(&mu_);
  return ends_;
}

void PipeChannel::ReallocateLocked(size_t size) {
  auto ring = std::make_unique_for_overwrite<std::byte[]>(size);
  // Each byte keeps its position modulo the ring's size.
  for (uint64_t at = head_; at < tail_;) {
    const std::span<std::byte> from = PieceLocked(at, tail_ - at);
    const size_t offset = at & (size - 1);
    const size_t step = std::min(from.size(), size - offset);
    memcpy(ring.get() + offset, from.data(), step);
    at += step;
  }
  ring_ = std::move(ring);
  ring_size_ = size;
}

// Grows the ring for bytes that the caller may add; capacity is the caller's to check.
void PipeChannel::ReserveLocked(size_t more) {
  const size_t need = UsedLocked() + more;
  if (need > ring_size_) ReallocateLocked(std::max(kFirstRing, std::bit_ceil(need)));
}

// The longest piece from position on that does not wrap.
std::span<std::byte> PipeChannel::PieceLocked(uint64_t position, size_t want) {
  const size_t offset = position & (ring_size_ - 1);
  return {ring_.get() + offset, std::min(want, ring_size_ - offset)};
}

void PipeChannel::AdvanceLocked(uint64_t bytes) {
  head_ += bytes;
  while (!packets_.empty() && packets_.front().end <= head_) packets_.pop_front();
}

ErrnoOr<size_t> PipeChannel::ReadLocked(UserBuffer& dst) {
  const bool in_packet = !packets_.empty() && packets_.front().start <= head_;
  const uint64_t border = packets_.empty() ? tail_
                          : in_packet      ? packets_.front().end
                                           : packets_.front().start;
  const uint64_t end = head_ + std::min<uint64_t>(border - head_, dst.size());
  uint64_t at = head_;
  Errno error = Errno::kFault;
  while (at < end) {
    const std::span<std::byte> piece = PieceLocked(at, end - at);
    const ErrnoOr<size_t> copied = dst.CopyOut(piece);
    if (!copied.ok()) {
      error = copied.error();
      break;
    }
    at += *copied;
    if (*copied < piece.size()) break;
  }
  const size_t total = at - head_;
  if (total == 0) return error;
  AdvanceLocked(in_packet ? border - head_ : total);  // the rest of a packet is lost
  return total;
}

ErrnoOr<size_t> PipeChannel::Read(UserBuffer& dst) {
  if (dst.empty()) return size_t{0};
  size_t got;
  bool tell;
  {
    absl::MutexLock lock(&mu_);
    if (taken_) return Errno::kAgain;
    if (UsedLocked() == 0) {
      if (ends_.writers == 0) return size_t{0};
      return Errno::kAgain;
    }
    const bool was_full = !WritableLocked();
    got = TRY(ReadLocked(dst));
    tell = was_full && WritableLocked();
  }
  if (tell) queue_.Notify(Poll::kOut);
  return got;
}

// Copies count bytes of src to the tail; fewer if a page is bad.
ErrnoOr<size_t> PipeChannel::WriteLocked(UserBuffer& src, size_t count) {
  ReserveLocked(count);
  size_t total = 0;
  while (total < count) {
    const std::span<std::byte> piece = PieceLocked(tail_, count - total);
    const ErrnoOr<size_t> copied = src.CopyIn(piece);
    if (!copied.ok()) {
      if (total > 0) return total;
      return copied.error();
    }
    tail_ += *copied;
    total += *copied;
    if (*copied < piece.size()) break;
  }
  return total;
}

ErrnoOr<size_t> PipeChannel::WritePacketsLocked(UserBuffer& src, size_t count) {
  size_t total = 0;
  while (total < count) {
    const uint64_t start = tail_;
    const size_t want = std::min(count - total, kPipeBuf);
    const ErrnoOr<size_t> copied = WriteLocked(src, want);
    if (!copied.ok()) {
      if (total > 0) return total;
      return copied.error();
    }
    packets_.push_back({start, tail_});
    total += *copied;
    if (*copied < want) break;
  }
  return total;
}

ErrnoOr<size_t> PipeChannel::Write(UserBuffer& src, bool as_packets) {
  if (src.empty()) return size_t{0};
  size_t put;
  {
    absl::MutexLock lock(&mu_);
    if (ends_.readers == 0) return Errno::kPipe;
    const size_t room = FreeLocked();
    if (room == 0 || (src.size() <= kPipeBuf && room < src.size())) return Errno::kAgain;
    const size_t count = std::min(room, src.size());
    put = TRY(as_packets ? WritePacketsLocked(src, count) : WriteLocked(src, count));
  }
  queue_.Notify(Poll::kIn);
  return put;
}

Poll PipeChannel::Ready(bool readable, bool writable, uint64_t seen_writer_opens) const {
  absl::MutexLock lock(&mu_);
  Poll ready;
  if (readable) {
    if (UsedLocked() > 0 && !taken_) ready |= Poll::kIn;
    if (ends_.writers == 0 && ends_.writer_opens != seen_writer_opens) ready |= Poll::kHup;
  }
  if (writable) {
    if (WritableLocked()) ready |= Poll::kOut;
    if (ends_.readers == 0) ready |= Poll::kErr;
  }
  return ready;
}

size_t PipeChannel::queued() const {
  absl::MutexLock lock(&mu_);
  return UsedLocked();
}

size_t PipeChannel::capacity() const {
  absl::MutexLock lock(&mu_);
  return capacity_;
}

ErrnoOr<size_t> PipeChannel::SetCapacity(size_t bytes, bool privileged) {
  if (bytes == 0 || bytes > (size_t{1} << 31)) return Errno::kInval;
  const size_t wanted = std::bit_ceil(std::max(bytes, kPipeBuf));
  if (wanted > kMaxCapacity && !privileged) return Errno::kPerm;
  if (wanted > kHardCapacity) return Errno::kNoMem;
  bool tell;
  {
    absl::MutexLock lock(&mu_);
    if (wanted < UsedLocked()) return Errno::kBusy;
    if (wanted > capacity_) {
      TRY_VOID(TakeCapacity(wanted - capacity_, privileged));
    } else {
      total_capacity.fetch_sub(capacity_ - wanted, std::memory_order_relaxed);
    }
    const bool was_full = !WritableLocked();
    capacity_ = wanted;
    if (ring_size_ > wanted) ReallocateLocked(wanted);
    tell = was_full && WritableLocked();
  }
  if (tell) queue_.Notify(Poll::kOut);
  return wanted;
}

ErrnoOr<std::vector<std::byte>> PipeChannel::CopyFrontLocked(size_t max) {
  if (taken_) return Errno::kAgain;
  if (UsedLocked() == 0 && ends_.writers != 0) return Errno::kAgain;
  std::vector<std::byte> bytes(std::min(max, UsedLocked()));
  for (size_t done = 0; done < bytes.size();) {
    const std::span<std::byte> piece = PieceLocked(head_ + done, bytes.size() - done);
    memcpy(bytes.data() + done, piece.data(), piece.size());
    done += piece.size();
  }
  return bytes;
}

ErrnoOr<std::vector<std::byte>> PipeChannel::BeginTake(size_t max) {
  absl::MutexLock lock(&mu_);
  std::vector<std::byte> bytes = TRY(CopyFrontLocked(max));
  taken_ = true;
  return bytes;
}

void PipeChannel::EndTake(size_t spent) {
  Poll told;
  {
    absl::MutexLock lock(&mu_);
    const bool was_full = !WritableLocked();
    AdvanceLocked(std::min(spent, UsedLocked()));
    taken_ = false;
    if (UsedLocked() > 0 || ends_.writers == 0) told |= Poll::kIn;
    if (was_full && WritableLocked()) told |= Poll::kOut;
  }
  if (told) queue_.Notify(told);
}

ErrnoOr<std::vector<std::byte>> PipeChannel::Peek(size_t max) {
  absl::MutexLock lock(&mu_);
  return CopyFrontLocked(max);
}

ErrnoOr<size_t> PipeChannel::FreeSpace() const {
  absl::MutexLock lock(&mu_);
  if (ends_.readers == 0) return Errno::kPipe;
  if (FreeLocked() == 0) return Errno::kAgain;
  return FreeLocked();
}

ErrnoOrVoid PipeChannel::Put(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  {
    absl::MutexLock lock(&mu_);
    if (ends_.readers == 0) return Errno::kPipe;
    UserBuffer src = UserBuffer::KernelConst(bytes);
    TRY_VOID(WriteLocked(src, bytes.size()));
  }
  queue_.Notify(Poll::kIn);
  return {};
}

}  // namespace cloister::pipe
