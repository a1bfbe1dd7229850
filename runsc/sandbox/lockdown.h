#ifndef CLOISTER_RUNSC_SANDBOX_LOCKDOWN_H_
#define CLOISTER_RUNSC_SANDBOX_LOCKDOWN_H_

#include <sys/types.h>

#include "absl/status/status.h"

namespace cloister::sandbox {

// The id that a sandboxed process has inside its user namespace, and on the host if root started it.
inline constexpr unsigned kUnprivilegedId = 65534;

// Parent's side: maps kUnprivilegedId of child's new user namespace to the same id of the host, or
// to the caller's own where it may not map that one.
absl::Status WriteIdMaps(pid_t child);

// Child's side, in order; all need the capabilities of a fresh user namespace.

// An empty, read-only tmpfs instead of everything that is mounted in this mount namespace.
absl::Status EnterEmptyRoot();

// No supplementary groups, uid and gid kUnprivilegedId.
absl::Status BecomeUnprivileged();

// No capability in any set, none to be had by exec, no_new_privs.
absl::Status DropAllCapabilities();

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_LOCKDOWN_H_
