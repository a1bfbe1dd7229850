#include "sentry/fs/tmp/memory_budget.h"

#include <algorithm>

namespace cloister::tmp {

MemoryBudget& MemoryBudget::Get() {
  static MemoryBudget budget;
  return budget;
}

uint64_t MemoryBudget::Take(uint64_t pages) {
  const uint64_t limit = limit_.load(std::memory_order_relaxed);
  uint64_t used = used_.load(std::memory_order_relaxed);
  while (true) {
    const uint64_t taken = std::min(pages, limit > used ? limit - used : 0);
    if (taken == 0 || used_.compare_exchange_weak(used, used + taken, std::memory_order_relaxed))
      return taken;
  }
}

}  // namespace cloister::tmp
