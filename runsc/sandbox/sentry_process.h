#ifndef CLOISTER_RUNSC_SANDBOX_SENTRY_PROCESS_H_
#define CLOISTER_RUNSC_SANDBOX_SENTRY_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/host/unique_fd.h"
#include "runsc/sandbox/network.h"
#include "sentry/control/control.pb.h"

namespace cloister::sandbox {

// What the sentry is started with. Descriptors are borrowed.
struct SentryOptions {
  control::BootConfig config;
  NetworkPlan network;
  int gofer_channel = -1;
  int control_socket = -1;  // listening
  int log = -1;             // -1: none
  int monitor = -1;
  std::vector<int> stdio;      // three, or one with a terminal
  std::vector<int> preserved;  // the guest's 3 and up
  uint64_t clone_flags = 0;    // CLONE_PARENT within RunInHelper
  // Of the sentry and, since they inherit it, its stubs. The memory of the guest is theirs: where the machine
  // has none left, they are to go before anybody else, unless config.json knows better.
  int oom_score_adj = 1000;
};

struct SentryProcess {
  pid_t pid = 0;
  UniqueFd ready;  // read end of BOOT_FD_READY
};

// Starts the sentry: pid 1 of a new pid namespace (its death kills every stub), in user, mount, ipc,
// uts and cgroup namespaces of its own, in an empty read-only root, without supplementary groups and
// capabilities (bounding set included), with no_new_privs. Root gives it the unprivileged uid 65534;
// anybody else their own. The network namespace is the calling thread's, unless kPrivate.
absl::StatusOr<SentryProcess> StartSentry(const SentryOptions& options);

// Waits until the container is created. The sentry's own error line, if it has one, is the message.
absl::Status AwaitReady(const SentryProcess& sentry, absl::Duration patience);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_SENTRY_PROCESS_H_
