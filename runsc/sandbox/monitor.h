#ifndef CLOISTER_RUNSC_SANDBOX_MONITOR_H_
#define CLOISTER_RUNSC_SANDBOX_MONITOR_H_

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "runsc/sandbox/container_view.h"

namespace cloister::sandbox {

// The host process that stands for a container's init, or for an exec'd process: engines know its
// pid, send it signals and read its wait status. A child of the runsc that made it, so that it passes
// to that one's subreaper; leader of its own session; holds no stdio.
//
// It forwards every signal it can catch to the sentry and ends as the sentry says: by the same
// signal, or with the exit code; with 137 when the sentry is gone. When it is killed, the sentry sees
// the end of the stream and kills the process.
//
// On the pty it is the session leader, so that the kernel tells it of a new window size and of the
// hang-up, which it forwards likewise.
struct MonitorProcess {
  pid_t pid = 0;
  UniqueFd sentry_end;  // BOOT_FD_MONITOR, or the first descriptor of an ExecRequest
  // Until ConfirmMonitor, the end of this pipe ends the monitor: a runsc that dies halfway leaves
  // nothing behind.
  UniqueFd confirm;
};

// tty is the slave side of a pty, or -1. view: what the monitor's mount namespace is to hold; none: the
// caller's, which is an exec'd process' case. Call it in the network namespace that engines are to find
// at /proc/PID/ns/net, which RunInHelper makes possible; clone_flags: CLONE_PARENT there.
absl::StatusOr<MonitorProcess> StartMonitor(int tty, std::vector<ViewMount> view, uint64_t clone_flags);

absl::Status ConfirmMonitor(MonitorProcess& monitor);

// Entry of the process; argv as StartMonitor gave it.
int MonitorMain(int argc, char** argv);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_MONITOR_H_
