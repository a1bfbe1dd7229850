#ifndef CLOISTER_SENTRY_FS_TMP_MEMORY_BUDGET_H_
#define CLOISTER_SENTRY_FS_TMP_MEMORY_BUDGET_H_

#include <atomic>
#include <cstdint>

namespace cloister::tmp {

// What all files in memory of the sandbox may take together: every tmpfs, memfds, shared memory. On Linux the
// OOM killer and memory cgroups see to that; here the bytes belong to no process of the host's, so it would
// end processes that have nothing to do with the sandbox. Thread-safe.
class MemoryBudget {
 public:
  static MemoryBudget& Get();

  // Once at boot; without it there is no limit.
  void SetLimit(uint64_t pages) { limit_.store(pages, std::memory_order_relaxed); }
  // Takes up to `pages` of what is left; says how many it got.
  uint64_t Take(uint64_t pages);
  // Counts what is there already, whatever the limit.
  void Force(uint64_t pages) { used_.fetch_add(pages, std::memory_order_relaxed); }
  void Give(uint64_t pages) { used_.fetch_sub(pages, std::memory_order_relaxed); }

  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  bool exhausted() const { return used() >= limit_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> limit_{~uint64_t{0}};
  std::atomic<uint64_t> used_{0};
};

}  // namespace cloister::tmp

#endif  // CLOISTER_SENTRY_FS_TMP_MEMORY_BUDGET_H_
