#ifndef CLOISTER_PLATFORM_FILTER_SYSTRAP_RULES_H_
#define CLOISTER_PLATFORM_FILTER_SYSTRAP_RULES_H_

#include <sys/syscall.h>

namespace cloister::filter {

struct SentryRule {
  int nr;
  const char* name;
  const char* reason;
};

// The host calls that platform/systrap makes after Platform::Start has returned. Making the worker
// threads in Start itself takes clone3(2) or clone(2), mprotect, rseq, set_robust_list and
// sched_getaffinity besides: let Start run before the filter, or allow them.
inline constexpr SentryRule kSystrapRules[] = {
    {SYS_ioctl, "ioctl", "seccomp listener: NOTIF_RECV, NOTIF_SEND, NOTIF_ADDFD, NOTIF_SET_FLAGS"},
    {SYS_process_vm_readv, "process_vm_readv", "guest memory, read"},
    {SYS_process_vm_writev, "process_vm_writev", "guest memory, write"},
    {SYS_tgkill, "tgkill", "interrupts a guest thread; checks that a new thread is of its process"},
    {SYS_kill, "kill", "ends a guest process"},
    {SYS_waitid, "waitid", "reaps guest processes"},
    {SYS_futex, "futex", "locks of the platform's own threads"},
    {SYS_lseek, "lseek", "which context pages a dead address space has touched"},
    {SYS_madvise, "madvise", "MADV_REMOVE: gives back context pages of a dead address space"},
    {SYS_fstat, "fstat", "whether a guest thread has been lent a file already"},
    {SYS_sched_getaffinity, "sched_getaffinity", "whether a guest thread may become another one's child"},
    {SYS_getrandom, "getrandom", "tokens of new guest threads"},
    {SYS_mmap, "mmap", "allocator"},
    {SYS_munmap, "munmap", "allocator"},
    {SYS_brk, "brk", "allocator"},
    {SYS_clock_gettime, "clock_gettime", "CPU time of a guest process (not a vDSO clock)"},
    {SYS_exit, "exit", "worker threads end"},
    {SYS_rt_sigprocmask, "rt_sigprocmask", "thread exit in glibc blocks signals"},
};

}  // namespace cloister::filter

#endif  // CLOISTER_PLATFORM_FILTER_SYSTRAP_RULES_H_
