#ifndef CLOISTER_TESTS_UTIL_MEMORY_H_
#define CLOISTER_TESTS_UTIL_MEMORY_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "gtest/gtest.h"

namespace cloister::tests {

inline constexpr size_t kPage = 4096;

// An address that is mapped in no process (the first page), typed as the call wants it. The compiler
// cannot see its value, so it does not warn of a null argument.
template <typename T = void>
T* BadPointer() {
  volatile uintptr_t address = 8;
  return reinterpret_cast<T*>(address);
}

// A mapping that goes with the object.
class Mapping {
 public:
  Mapping() = default;
  Mapping(void* address, size_t size) : address_(address), size_(size) { EXPECT_NE(address, MAP_FAILED); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (address_ != MAP_FAILED) munmap(address_, size_);
  }

  bool ok() const { return address_ != MAP_FAILED; }
  char* data() const { return static_cast<char*>(address_); }
  size_t size() const { return size_; }
  // The mapping is no longer ours (unmapped or moved by the test).
  void Forget() { address_ = MAP_FAILED; }

 private:
  void* address_ = MAP_FAILED;
  size_t size_ = 0;
};

// Anonymous memory of whole pages.
inline Mapping MapAnonymous(size_t size, int protection = PROT_READ | PROT_WRITE, int flags = MAP_PRIVATE) {
  return Mapping(mmap(nullptr, size, protection, flags | MAP_ANONYMOUS, -1, 0), size);
}

// One usable page followed by one that faults: end() is the first bad byte.
class GuardedPage {
 public:
  GuardedPage()
      : mapping_(mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                 2 * kPage) {
    EXPECT_EQ(mprotect(end(), kPage, PROT_NONE), 0);
  }
  char* begin() const { return mapping_.data(); }
  char* end() const { return mapping_.data() + kPage; }

 private:
  Mapping mapping_;
};

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_MEMORY_H_
