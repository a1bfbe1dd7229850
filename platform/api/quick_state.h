#ifndef CLOISTER_PLATFORM_API_QUICK_STATE_H_
#define CLOISTER_PLATFORM_API_QUICK_STATE_H_

#include <sys/syscall.h>

#include <cstdint>

namespace cloister::platform {

// What getpid(2) and its kin answer.
struct QuickIds {
  uint32_t pid = 0, tid = 0, parent_pid = 0;
  uint32_t uid = 0, euid = 0, gid = 0, egid = 0;
  bool operator==(const QuickIds&) const = default;
};

// Groups of calls that a guest thread may settle without a trap, on platforms that can.
inline constexpr uint32_t kQuickSignalMask = 1 << 0;
inline constexpr uint32_t kQuickRobustList = 1 << 1;
inline constexpr uint32_t kQuickAdvise = 1 << 2;  // MADV_DONTNEED and MADV_FREE
inline constexpr uint32_t kQuickIds = 1 << 3;
// futex(2) unless a word names its owner or the wait has a relative timeout, futex_waitv(2), and at exit(2)
// the wake of who joins.
inline constexpr uint32_t kQuickFutex = 1 << 4;
inline constexpr uint32_t kQuickYield = 1 << 5;
inline constexpr uint32_t kQuickTidAddress = 1 << 6;
inline constexpr uint32_t kQuickSetFs = 1 << 7;
inline constexpr uint32_t kQuickRseq = 1 << 8;

struct QuickCall {
  uint64_t number;
  uint32_t group;
};
inline constexpr QuickCall kQuickCalls[] = {
    {SYS_rt_sigprocmask, kQuickSignalMask},
    {SYS_set_robust_list, kQuickRobustList},
    {SYS_madvise, kQuickAdvise},
    {SYS_getpid, kQuickIds},
    {SYS_gettid, kQuickIds},
    {SYS_getppid, kQuickIds},
    {SYS_getuid, kQuickIds},
    {SYS_geteuid, kQuickIds},
    {SYS_getgid, kQuickIds},
    {SYS_getegid, kQuickIds},
    {SYS_futex, kQuickFutex},
    {SYS_futex_waitv, kQuickFutex},
    {SYS_exit, kQuickFutex},
    {SYS_sched_yield, kQuickYield},
    {SYS_set_tid_address, kQuickTidAddress},
    {SYS_arch_prctl, kQuickSetFs},
    {SYS_rseq, kQuickRseq},
};

// What they work on. It is the guest's own word: a lie fools the guest alone.
struct QuickState {
  uint32_t calls = 0;  // groups that are allowed now
  uint64_t signal_mask = 0;
  uint64_t robust_list = 0;
  uint64_t clear_child_tid = 0;
  bool refused_rseq = false;  // what the guest did: an rseq(2) since it was asked last, which is ENOSYS
};

}  // namespace cloister::platform

#endif  // CLOISTER_PLATFORM_API_QUICK_STATE_H_
