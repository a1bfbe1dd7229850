#ifndef CLOISTER_PLATFORM_SYSTRAP_CALL_RATE_H_
#define CLOISTER_PLATFORM_SYSTRAP_CALL_RATE_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cloister::systrap {

// Whether several guest threads in turn call the sentry so often that they do little else, and so would do
// with one core less if calling were cheap. Thread-safe; a call that is not counted because of a race does no
// harm.
class CallRate {
 public:
  // A call of the host thread tid of the process pid.
  void Count(pid_t tid, pid_t pid, int64_t now) ABSL_LOCKS_EXCLUDED(mu_);

  // Many calls by several in the last window.
  bool IsDense(int64_t now) ABSL_LOCKS_EXCLUDED(mu_);
  // The same in the one before, and those who called took together no more than a core meanwhile; nor are
  // there more running threads than those.
  bool LeavesCore(int running, int64_t now) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  static constexpr size_t kMostCallers = 8;
  struct Caller {
    pid_t tid = 0, pid = 0;
    int64_t cpu_ns = 0;  // of the process, at its first call of the window; -1: another caller stands for it
  };

  void Change(pid_t tid, pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);
  void Turn(int64_t now) ABSL_LOCKS_EXCLUDED(mu_);

  std::atomic<int64_t> began_{0};
  std::atomic<int> calls_{0}, changes_{0};
  std::atomic<pid_t> last_{0};
  std::atomic<bool> dense_{false};
  std::atomic<int> leaves_core_to_{0};  // so many callers; 0: they need it

  absl::Mutex mu_;  // leaf lock
  std::array<Caller, kMostCallers> callers_ ABSL_GUARDED_BY(mu_);
  size_t caller_count_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_CALL_RATE_H_
