#ifndef CLOISTER_SENTRY_TASK_PTRACE_ACCESS_H_
#define CLOISTER_SENTRY_TASK_PTRACE_ACCESS_H_

#include "sentry/auth/credentials.h"

namespace cloister::task {

class Task;

// Who may look into a task, or change it: ptrace(2), "Ptrace access mode checking". Of Linux' modes only the
// choice of credentials is left: PTRACE_MODE_READ and PTRACE_MODE_ATTACH differ for security modules alone,
// and there is none.
enum class AccessMode {
  kFsCreds,    // PTRACE_MODE_FSCREDS: fsuid, fsgid and the effective capabilities (files of proc)
  kRealCreds,  // PTRACE_MODE_REALCREDS: uid, gid and the permitted ones (ptrace, process_vm_readv, kcmp)
};

// Linux: ptrace_may_access. Threads of one process always may. Where not, the errno is the caller's matter:
// EPERM of system calls, EACCES of files.
bool MayAccess(const Task& by, const Task& target, AccessMode mode);

// The same for credentials that are not a task's own: those a file was opened with.
bool MayAccess(const auth::Credentials& by, const Task& target, AccessMode mode);

// Whether the task may be traced and dumped by its own user: PR_SET_DUMPABLE. Any thread.
bool IsDumpable(const Task& task);

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_PTRACE_ACCESS_H_
