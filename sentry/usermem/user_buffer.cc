#include "sentry/usermem/user_buffer.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace cloister::usermem {
namespace {

constexpr size_t kMaxRwCount = 0x7ffff000;  // Linux: MAX_RW_COUNT
constexpr size_t kBounceSize = 64 * 1024;

// One a worker: nothing holds it across calls. Not in the threads that move no data: what is thread_local
// itself is set to zero in each.
std::span<std::byte> Bounce() {
  static thread_local const auto bounce = std::make_unique_for_overwrite<std::byte[]>(kBounceSize);
  return {bounce.get(), kBounceSize};
}

}  // namespace

UserBuffer::UserBuffer(AddressSpace& space, uint64_t addr, uint64_t size)
    : UserBuffer(space, absl::InlinedVector<Range, 4>{{addr, size}}) {}

UserBuffer::UserBuffer(AddressSpace& space, absl::InlinedVector<Range, 4> ranges)
    : space_(&space), ranges_(std::move(ranges)) {
  for (Range& range : ranges_) {
    range.size = std::min<uint64_t>(range.size, kMaxRwCount - left_);
    left_ += range.size;
  }
}

UserBuffer UserBuffer::Kernel(std::span<std::byte> memory) {
  UserBuffer buffer;
  buffer.ranges_ = {{reinterpret_cast<uint64_t>(memory.data()), memory.size()}};
  buffer.left_ = memory.size();
  return buffer;
}

UserBuffer UserBuffer::KernelConst(std::span<const std::byte> memory) {
  return Kernel({const_cast<std::byte*>(memory.data()), memory.size()});
}

std::span<std::byte> UserBuffer::kernel_memory() const {
  if (space_ != nullptr || left_ == 0) return {};
  return {reinterpret_cast<std::byte*>(ranges_[index_].addr + offset_), left_};
}

size_t UserBuffer::CopyRange(std::span<std::byte> piece, uint64_t addr, bool out) {
  if (space_ != nullptr) return out ? space_->Write(addr, piece) : space_->Read(addr, piece);
  std::byte* const own = reinterpret_cast<std::byte*>(addr);
  if (out) {
    memcpy(own, piece.data(), piece.size());
  } else {
    memcpy(piece.data(), own, piece.size());
  }
  return piece.size();
}

ErrnoOr<size_t> UserBuffer::CopyPieces(std::span<std::byte> memory, bool out) {
  size_t total = 0;
  while (total < memory.size() && left_ > 0) {
    const Range& range = ranges_[index_];
    if (offset_ == range.size) {
      ++index_;
      offset_ = 0;
      continue;
    }
    const size_t want = std::min({memory.size() - total, range.size - offset_, left_});
    const size_t got = CopyRange(memory.subspan(total, want), range.addr + offset_, out);
    total += got;
    Skip(got);
    if (got < want) break;
  }
  done_ += total;
  if (total == 0 && !memory.empty() && left_ > 0) return Errno::kFault;
  return total;
}

ErrnoOr<size_t> UserBuffer::CopyOut(std::span<const std::byte> src) {
  return CopyPieces({const_cast<std::byte*>(src.data()), src.size()}, true);
}

ErrnoOr<size_t> UserBuffer::CopyIn(std::span<std::byte> dst) { return CopyPieces(dst, false); }

ErrnoOr<size_t> UserBuffer::FillFrom(absl::FunctionRef<ErrnoOr<size_t>(std::span<std::byte>)> produce) {
  size_t total = 0;
  while (!empty()) {
    const std::span<std::byte> own = kernel_memory();
    const std::span<std::byte> space = own.empty() ? Bounce() : own;
    const size_t want = std::min(space.size(), left_);
    const ErrnoOr<size_t> got = produce(space.first(want));
    if (!got.ok()) {
      if (total > 0) return total;
      return got.error();
    }
    if (own.empty()) {
      const ErrnoOr<size_t> copied = CopyOut(space.first(*got));
      if (!copied.ok()) {
        if (total > 0) return total;
        return copied.error();
      }
      total += *copied;
      if (*copied < *got) break;
    } else {
      Skip(*got);
      done_ += *got;
      total += *got;
    }
    if (*got < want) break;
  }
  return total;
}

ErrnoOr<size_t> UserBuffer::DrainTo(absl::FunctionRef<ErrnoOr<size_t>(std::span<const std::byte>)> consume) {
  size_t total = 0;
  while (!empty()) {
    const std::span<std::byte> space = Bounce();
    UserBuffer ahead = *this;
    const ErrnoOr<size_t> got = ahead.CopyIn(space.first(std::min(space.size(), left_)));
    if (!got.ok()) {
      if (total > 0) return total;
      return got.error();
    }
    const ErrnoOr<size_t> taken = consume(space.first(*got));
    if (!taken.ok()) {
      if (total > 0) return total;
      return taken.error();
    }
    Skip(*taken);
    done_ += *taken;
    total += *taken;
    if (*taken < *got) break;
  }
  return total;
}

void UserBuffer::Skip(size_t bytes) {
  bytes = std::min(bytes, left_);
  left_ -= bytes;
  while (bytes > 0) {
    const size_t step = std::min<size_t>(bytes, ranges_[index_].size - offset_);
    offset_ += step;
    bytes -= step;
    if (offset_ == ranges_[index_].size && index_ + 1 < ranges_.size()) {
      ++index_;
      offset_ = 0;
    }
  }
}

void UserBuffer::Truncate(size_t bytes) { left_ = std::min(left_, bytes); }

}  // namespace cloister::usermem
