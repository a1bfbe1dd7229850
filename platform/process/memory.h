#ifndef CLOISTER_PLATFORM_PROCESS_MEMORY_H_
#define CLOISTER_PLATFORM_PROCESS_MEMORY_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cloister::process {

// The memory that some host processes share (more than one after vfork), reached by any of them. Thread-safe.
class Memory {
 public:
  // As platform::AddressSpace's.
  size_t Read(uint64_t addr, std::span<std::byte> dst) const ABSL_LOCKS_EXCLUDED(mu_);
  size_t Write(uint64_t addr, std::span<const std::byte> src) const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t CpuTimeNs() const ABSL_LOCKS_EXCLUDED(mu_);

  void AddProcess(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);
  // After it has returned, nobody uses the pid any more.
  void RemoveProcess(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);
  size_t process_count() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable absl::Mutex mu_;  // leaf lock
  std::vector<pid_t> pids_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::process

#endif  // CLOISTER_PLATFORM_PROCESS_MEMORY_H_
