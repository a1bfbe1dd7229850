#ifndef CLOISTER_SENTRY_NET_SOCKET_SOCKET_ADDRESS_H_
#define CLOISTER_SENTRY_NET_SOCKET_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/error/errno_or.h"

namespace cloister::net {

// A sockaddr of any family with its length; possibly empty. Linux: struct sockaddr_storage and a length.
class SocketAddress {
 public:
  static constexpr size_t kMaxSize = sizeof(sockaddr_storage);

  SocketAddress() = default;
  // kInval if bytes are more than fit.
  static ErrnoOr<SocketAddress> From(std::span<const std::byte> bytes) {
    if (bytes.size() > kMaxSize) return Errno::kInval;
    SocketAddress address;
    std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
    address.size_ = bytes.size();
    return address;
  }
  // Of a complete sockaddr_in and the like.
  template <typename T>
  static SocketAddress Of(const T& value) {
    static_assert(sizeof(T) <= kMaxSize);
    SocketAddress address;
    memcpy(address.bytes_.data(), &value, sizeof(T));
    address.size_ = sizeof(T);
    return address;
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const std::byte> bytes() const { return std::span(bytes_).first(size_); }
  // AF_UNSPEC if there is not even a family.
  sa_family_t family() const {
    sa_family_t family = AF_UNSPEC;
    if (size_ >= sizeof(family)) memcpy(&family, bytes_.data(), sizeof(family));
    return family;
  }
  // The first sizeof(T) bytes, zero behind the end.
  template <typename T>
  T As() const {
    static_assert(sizeof(T) <= kMaxSize);
    T value;
    memcpy(&value, bytes_.data(), sizeof(T));
    return value;
  }
  // For host calls.
  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(bytes_.data()); }

 private:
  alignas(8) std::array<std::byte, kMaxSize> bytes_ = {};
  size_t size_ = 0;
};

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_SOCKET_SOCKET_ADDRESS_H_
