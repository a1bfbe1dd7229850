#ifndef CLOISTER_SENTRY_SYSCALLS_THEMES_H_
#define CLOISTER_SENTRY_SYSCALLS_THEMES_H_

#include <span>

#include "sentry/syscalls/table.h"

// What each file of this room contributes to the table; table.cc joins them.

namespace cloister::syscalls {

std::span<const Entry> IdentitySyscalls();  // identity.cc: getpid, uids, groups, sessions

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_THEMES_H_
