#ifndef CLOISTER_SENTRY_FS_PROC_SYSTEM_TEXT_H_
#define CLOISTER_SENTRY_FS_PROC_SYSTEM_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "sentry/task/kernel.h"

namespace cloister::proc {

// The files at proc's root that tell of the sandbox as a whole. Keeps what must not go backwards and
// the averages. Thread-safe.
class System {
 public:
  explicit System(task::Kernel& kernel) : kernel_(kernel) {}

  std::string MemInfo() const;
  std::string CpuInfo() const;
  std::string Stat() ABSL_LOCKS_EXCLUDED(mu_);
  std::string Uptime() ABSL_LOCKS_EXCLUDED(mu_);
  std::string LoadAverage() ABSL_LOCKS_EXCLUDED(mu_);
  std::string VmStat() const;
  std::string Interrupts() const;
  std::string SoftInterrupts() const;

  task::Kernel& kernel() const { return kernel_; }

 private:
  int64_t UpNs() const;
  // Of all processes, ended ones included.
  uint64_t CpuNs() ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t UsedMemory() const;

  task::Kernel& kernel_;
  absl::Mutex mu_;  // leaf
  uint64_t cpu_seen_ns_ ABSL_GUARDED_BY(mu_) = 0;
  double load_[3] ABSL_GUARDED_BY(mu_) = {};
  int64_t load_at_ns_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t load_cpu_ns_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_SYSTEM_TEXT_H_
