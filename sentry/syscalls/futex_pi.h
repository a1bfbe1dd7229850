#ifndef CLOISTER_SENTRY_SYSCALLS_FUTEX_PI_H_
#define CLOISTER_SENTRY_SYSCALLS_FUTEX_PI_H_

#include <memory>

#include "sentry/syscalls/table.h"

namespace cloister::syscalls {

// futex(2)'s commands whose words name an owner: FUTEX_LOCK_PI and its kin.
Outcome FutexPi(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>* parked);

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_FUTEX_PI_H_
