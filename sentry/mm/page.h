#ifndef CLOISTER_SENTRY_MM_PAGE_H_
#define CLOISTER_SENTRY_MM_PAGE_H_

#include <cstdint>
#include <optional>

#include "sentry/mm/area_list.h"

namespace cloister::mm {

constexpr bool IsPageAligned(uint64_t value) { return value % kPageSize == 0; }

// Rounded up to whole pages, unless that is beyond 64 bits.
constexpr std::optional<uint64_t> PageUp(uint64_t value) {
  if (value > ~uint64_t{0} - (kPageSize - 1)) return std::nullopt;
  return (value + kPageSize - 1) & ~(kPageSize - 1);
}

}  // namespace cloister::mm

#endif  // CLOISTER_SENTRY_MM_PAGE_H_
