#ifndef CLOISTER_SENTRY_SYSCALLS_PROCESSES_H_
#define CLOISTER_SENTRY_SYSCALLS_PROCESSES_H_

#include <signal.h>

#include "base/error/errno_or.h"
#include "sentry/task/task.h"
#include "sentry/vfs/file_description.h"

// What several themes ask about other processes.

namespace cloister::syscalls {

// The process that a pidfd stands for, ended or not; kBadf for other files.
ErrnoOr<Ref<task::ThreadGroup>> ProcessOfPidFd(vfs::FileDescription& file);

// kill(2)'s rule: same user, CAP_KILL, or SIGCONT within the session.
bool MaySignal(task::Task& task, task::ThreadGroup& target, int signo)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(task::Kernel::tree_mu());

// What kill(2) tells the receiver; code: SI_USER or SI_TKILL.
siginfo_t SenderInfo(task::Task& task, int signo, int code);

// The siginfo of sigqueue(3): nobody may pretend to be the kernel towards others.
ErrnoOrVoid CheckQueuedInfo(const siginfo_t& info, bool to_itself);
ErrnoOr<siginfo_t> CopyInQueuedInfo(task::Task& task, uint64_t addr, bool to_itself);

// Whether task may look into the other and work on it. Linux: ptrace_may_access with real credentials.
bool MayReach(task::Task& task, task::Task& other);

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_PROCESSES_H_
