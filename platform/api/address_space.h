#ifndef CLOISTER_PLATFORM_API_ADDRESS_SPACE_H_
#define CLOISTER_PLATFORM_API_ADDRESS_SPACE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/own/ref.h"

namespace cloister::platform {

// The memory of one host process (or of several that share it: vfork). Linux: struct mm_struct's
// page tables; the list of areas is the sentry's own (sentry/mm). Thread-safe.
class AddressSpace : public RefCounted {
 public:
  // Copy from or to guest memory, respecting the pages' protection. Return the number of bytes
  // copied before the first page that could not be accessed.
  virtual size_t Read(uint64_t addr, std::span<std::byte> dst) = 0;
  virtual size_t Write(uint64_t addr, std::span<const std::byte> src) = 0;

  // CPU time that the space's host process has used, in nanoseconds; 0 when it is gone.
  virtual uint64_t CpuTimeNs() const = 0;
};

}  // namespace cloister::platform

#endif  // CLOISTER_PLATFORM_API_ADDRESS_SPACE_H_
