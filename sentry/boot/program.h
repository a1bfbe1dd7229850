#ifndef CLOISTER_SENTRY_BOOT_PROGRAM_H_
#define CLOISTER_SENTRY_BOOT_PROGRAM_H_

#include "absl/status/statusor.h"
#include "sentry/control/control.pb.h"
#include "sentry/task/kernel.h"

namespace cloister::boot {

// The credentials that config.json gives a process.
auth::CredRef CredentialsOf(const control::Process& process);

// Everything of a process but its descriptors: working directory (made if missing), credentials,
// limits, and argv[0] looked up in PATH. Failures are worded as runc words them; *error is the errno.
absl::StatusOr<task::Kernel::NewProcess> PrepareProcess(const control::Process& process,
                                                        const task::FsContext& root, Errno* error);

// mkdir -p below the root of `caller`, as root.
ErrnoOrVoid MakeDirectories(const vfs::Caller& caller, std::string_view path);

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_PROGRAM_H_
