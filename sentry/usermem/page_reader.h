#ifndef CLOISTER_SENTRY_USERMEM_PAGE_READER_H_
#define CLOISTER_SENTRY_USERMEM_PAGE_READER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/error/errno_or.h"
#include "sentry/usermem/user_ptr.h"

namespace cloister::usermem {

// Reads much that is small and lies close together in guest memory, such as the strings of execve(2): copies
// a page at a time and keeps it for what is asked next. Not thread-safe.
class PageReader {
 public:
  explicit PageReader(AddressSpace& space) : space_(space) {}

  // kFault where it cannot be read.
  ErrnoOr<uint64_t> Word(uint64_t addr);
  // Up to a zero byte, which is not part of it; too_long if there is none within max bytes.
  ErrnoOr<std::string> String(uint64_t addr, size_t max, Errno too_long);

 private:
  static constexpr uint64_t kPage = 4096;
  // What there is from addr to the end of its page; empty if it cannot be read.
  std::span<const char> From(uint64_t addr);

  AddressSpace& space_;
  uint64_t page_ = ~uint64_t{0};
  std::array<char, kPage> bytes_;
};

}  // namespace cloister::usermem

#endif  // CLOISTER_SENTRY_USERMEM_PAGE_READER_H_
