#ifndef CLOISTER_SENTRY_USERMEM_USER_PTR_H_
#define CLOISTER_SENTRY_USERMEM_USER_PTR_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error/errno_or.h"
#include "platform/api/address_space.h"

namespace cloister::usermem {

using platform::AddressSpace;

// A guest address of a T, as a syscall got it: never dereferenced here, any value possible.
// UserPtr<const T> can only be read, UserPtr<T> be read and written.
template <typename T>
class UserPtr {
 public:
  static_assert(std::is_trivially_copyable_v<T>);
  constexpr UserPtr() = default;
  constexpr explicit UserPtr(uint64_t addr) : addr_(addr) {}
  // Write access includes read access.
  template <typename U>
    requires(std::is_same_v<const U, T>)
  constexpr UserPtr(UserPtr<U> other) : addr_(other.addr()) {}  // NOLINT: implicit

  constexpr uint64_t addr() const { return addr_; }
  constexpr bool null() const { return addr_ == 0; }
  // Address of the n-th T; wraps as the guest's own arithmetic would.
  constexpr UserPtr operator+(uint64_t n) const { return UserPtr(addr_ + n * sizeof(T)); }

 private:
  uint64_t addr_ = 0;
};

// All of dst, or kFault.
ErrnoOrVoid CopyInBytes(AddressSpace& space, uint64_t addr, std::span<std::byte> dst);
// All of src, or kFault (what came before the bad page may have been written, as in Linux).
ErrnoOrVoid CopyOutBytes(AddressSpace& space, uint64_t addr, std::span<const std::byte> src);

template <typename T>
ErrnoOr<std::remove_const_t<T>> CopyIn(AddressSpace& space, UserPtr<T> from) {
  std::remove_const_t<T> value;
  TRY_VOID(CopyInBytes(space, from.addr(), std::as_writable_bytes(std::span(&value, 1))));
  return value;
}

template <typename T>
  requires(!std::is_const_v<T>)
ErrnoOrVoid CopyOut(AddressSpace& space, UserPtr<T> to, const T& value) {
  return CopyOutBytes(space, to.addr(), std::as_bytes(std::span(&value, 1)));
}

// count elements; the caller has bounded count.
template <typename T>
ErrnoOr<std::vector<std::remove_const_t<T>>> CopyInArray(AddressSpace& space, UserPtr<T> from, size_t count) {
  std::vector<std::remove_const_t<T>> values(count);
  TRY_VOID(CopyInBytes(space, from.addr(), std::as_writable_bytes(std::span(values))));
  return values;
}

template <typename T>
  requires(!std::is_const_v<T>)
ErrnoOrVoid CopyOutArray(AddressSpace& space, UserPtr<T> to, std::span<const T> values) {
  return CopyOutBytes(space, to.addr(), std::as_bytes(values));
}

// A NUL-terminated string without the NUL. kFault if memory ends before the NUL;
// too_long if there is none within max bytes (NUL included).
ErrnoOr<std::string> CopyInString(AddressSpace& space, uint64_t addr, size_t max,
                                  Errno too_long = Errno::kNameTooLong);

// A path argument: at most PATH_MAX (4096) bytes with its NUL.
ErrnoOr<std::string> CopyInPath(AddressSpace& space, uint64_t addr);

}  // namespace cloister::usermem

#endif  // CLOISTER_SENTRY_USERMEM_USER_PTR_H_
