#ifndef CLOISTER_RUNSC_SHIM_DAEMON_H_
#define CLOISTER_RUNSC_SHIM_DAEMON_H_

#include "runsc/shim/bootstrap.h"

namespace cloister::shim {

// The process that serves containerd, at the listening socket kListenerFd, until containerd says Shutdown and
// no task is left. Logs into the bundle's FIFO "log", which containerd reads.
[[noreturn]] void RunDaemon(const ShimOptions& options);

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_DAEMON_H_
