#ifndef CLOISTER_SENTRY_SYSCALLS_SECCOMP_H_
#define CLOISTER_SENTRY_SYSCALLS_SECCOMP_H_

#include <cstdint>

#include "base/error/errno_or.h"
#include "sentry/task/task.h"

namespace cloister::syscalls {

// prctl(PR_SET_SECCOMP, mode, program): seccomp(2) without flags.
ErrnoOr<int64_t> PrctlSeccomp(task::Task& task, uint64_t mode, uint64_t program);

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_SECCOMP_H_
