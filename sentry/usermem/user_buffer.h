#ifndef CLOISTER_SENTRY_USERMEM_USER_BUFFER_H_
#define CLOISTER_SENTRY_USERMEM_USER_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "base/error/errno_or.h"
#include "sentry/usermem/user_ptr.h"

namespace cloister::usermem {

// The memory of one read or write: one range or an iovec, in a guest or in the sentry itself
// (sendfile, loading a program). A cursor moves over it as bytes are copied; plain data otherwise.
//
// The partial-copy rule (as Linux): a copy that meets a bad page after some bytes gives the bytes
// done; before the first byte it gives kFault.
class UserBuffer {
 public:
  struct Range {
    uint64_t addr;
    uint64_t size;
  };

  UserBuffer() = default;
  // A guest's ranges. The address space must outlive it. Sizes are clipped to MAX_RW_COUNT in all.
  UserBuffer(AddressSpace& space, uint64_t addr, uint64_t size);
  UserBuffer(AddressSpace& space, absl::InlinedVector<Range, 4> ranges);
  // The sentry's own memory, which must outlive it. Never faults.
  static UserBuffer Kernel(std::span<std::byte> memory);
  // For writing out of the buffer only.
  static UserBuffer KernelConst(std::span<const std::byte> memory);

  // Bytes left from the cursor on.
  size_t size() const { return left_; }
  bool empty() const { return left_ == 0; }
  // Bytes that were copied so far.
  size_t done() const { return done_; }
  // The sentry's own memory, at the cursor, where it is that: for one host call without a copy. Else empty.
  std::span<std::byte> kernel_memory() const;

  // What is left of a buffer that is one range of a guest's memory; size 0 where it is not.
  Range guest_range() const {
    if (space_ == nullptr || ranges_.size() != 1) return {0, 0};
    return {ranges_[0].addr + offset_, left_};
  }

  // src → buffer at the cursor, as much as fits; moves the cursor.
  ErrnoOr<size_t> CopyOut(std::span<const std::byte> src);
  // buffer at the cursor → dst, as much as there is; moves the cursor.
  ErrnoOr<size_t> CopyIn(std::span<std::byte> dst);

  template <typename T>
  ErrnoOrVoid CopyOutObject(const T& value) {
    const size_t copied = TRY(CopyOut(std::as_bytes(std::span(&value, 1))));
    if (copied < sizeof(T)) return Errno::kFault;
    return {};
  }
  template <typename T>
  ErrnoOr<T> CopyInObject() {
    T value;
    const size_t copied = TRY(CopyIn(std::as_writable_bytes(std::span(&value, 1))));
    if (copied < sizeof(T)) return Errno::kFault;
    return value;
  }

  // Fills the buffer through bounce memory: `produce` is given space and returns how many bytes it
  // put there (0: the end; less than asked: stop after these). Bytes produced but not taken
  // because of a bad page are lost; for host files use pread, whose position the caller moves.
  // Returns all bytes copied; an error only when there are none.
  ErrnoOr<size_t> FillFrom(absl::FunctionRef<ErrnoOr<size_t>(std::span<std::byte>)> produce);
  // Empties the buffer likewise: `consume` takes bytes and says how many it took.
  ErrnoOr<size_t> DrainTo(absl::FunctionRef<ErrnoOr<size_t>(std::span<const std::byte>)> consume);

  // Moves the cursor without copying.
  void Skip(size_t bytes);
  // Keeps at most bytes from the cursor on.
  void Truncate(size_t bytes);

 private:
  size_t CopyRange(std::span<std::byte> piece, uint64_t addr, bool out);
  ErrnoOr<size_t> CopyPieces(std::span<std::byte> memory, bool out);

  AddressSpace* space_ = nullptr;  // null: the ranges are the sentry's own memory
  absl::InlinedVector<Range, 4> ranges_;
  size_t index_ = 0;     // the range under the cursor
  uint64_t offset_ = 0;  // and the position in it
  size_t left_ = 0;
  size_t done_ = 0;
};

}  // namespace cloister::usermem

#endif  // CLOISTER_SENTRY_USERMEM_USER_BUFFER_H_
