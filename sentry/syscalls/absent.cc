// What the other themes leave out: every other number of Linux' table for x86-64, for --strace and the list
// in docs/syscalls.md. A theme that serves one of them takes precedence.

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

constexpr const char* kMissing = "ENOSYS";
constexpr const char* kGone = "ENOSYS, as in Linux: the number is kept, the call is not";
constexpr const char* kLater = "ENOSYS: newer than the 6.6 that uname tells";

// By number: libraries of the build host may not know the newer names.
constexpr Entry kEntries[] = {
    {134, "uselib", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {136, "ustat", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {139, "sysfs", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {153, "vhangup", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {154, "modify_ldt", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {156, "_sysctl", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {174, "create_module", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {177, "get_kernel_syms", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {178, "query_module", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {179, "quotactl", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {180, "nfsservctl", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {181, "getpmsg", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {182, "putpmsg", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {183, "afs_syscall", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {184, "tuxcall", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {185, "security", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {205, "set_thread_area", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {211, "get_thread_area", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {212, "lookup_dcookie", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {214, "epoll_ctl_old", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {215, "epoll_wait_old", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {216, "remap_file_pages", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {236, "vserver", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kGone},
    {248, "add_key", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {249, "request_key", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {250, "keyctl", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {256, "migrate_pages", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {279, "move_pages", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {300, "fanotify_init", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {301, "fanotify_mark", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {314, "sched_setattr", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {315, "sched_getattr", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {320, "kexec_file_load", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {333, "io_pgetevents", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {425, "io_uring_setup", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {426, "io_uring_enter", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {427, "io_uring_register", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {440, "process_madvise", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {443, "quotactl_fd", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {444, "landlock_create_ruleset", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {445, "landlock_add_rule", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {446, "landlock_restrict_self", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {450, "set_mempolicy_home_node", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {451, "cachestat", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {453, "map_shadow_stack", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kMissing},
    {454, "futex_wake", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kLater},
    {455, "futex_wait", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kLater},
    {456, "futex_requeue", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kLater},
    {457, "statmount", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kLater},
    {458, "listmount", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kLater},
    {459, "lsm_get_self_attr", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kLater},
    {460, "lsm_set_self_attr", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kLater},
    {461, "lsm_list_modules", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kLater},
    {462, "mseal", Fails<Errno::kNoSys>, "xxxxxx", Support::kUnsupported, kLater},
};

}  // namespace

std::span<const Entry> AbsentSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
