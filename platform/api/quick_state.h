#ifndef CLOISTER_PLATFORM_API_QUICK_STATE_H_
#define CLOISTER_PLATFORM_API_QUICK_STATE_H_

#include <cstdint>

namespace cloister::platform {

// What getpid(2) and its kin answer.
struct QuickIds {
  uint32_t pid = 0, tid = 0, parent_pid = 0;
  uint32_t uid = 0, euid = 0, gid = 0, egid = 0;
  bool operator==(const QuickIds&) const = default;
};

// What a guest thread may settle without a trap, on platforms that can: rt_sigprocmask(2), set_robust_list(2)
// and set_tid_address(2) on the fields below, the ids, sched_yield(2), FS by arch_prctl(2), rseq(2),
// madvise(2) with MADV_DONTNEED and MADV_FREE, and futexes: futex(2) unless a word names its owner or the
// wait has a relative timeout, futex_waitv(2), and at exit(2) the wake of who joins. It is the guest's own
// word: a lie fools the guest alone.
struct QuickState {
  bool may_advise = false;
  bool may_futex = false;
  uint64_t signal_mask = 0;
  uint64_t robust_list = 0;
  uint64_t clear_child_tid = 0;
  bool refused_rseq = false;  // what the guest did: an rseq(2) since it was asked last, which is ENOSYS
};

}  // namespace cloister::platform

#endif  // CLOISTER_PLATFORM_API_QUICK_STATE_H_
