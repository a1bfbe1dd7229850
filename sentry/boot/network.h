#ifndef CLOISTER_SENTRY_BOOT_NETWORK_H_
#define CLOISTER_SENTRY_BOOT_NETWORK_H_

#include "absl/status/status.h"

namespace cloister::boot {

// Gives the guest's sockets the stack of the network namespace that the sentry was started in. Before
// the sentry is locked down.
absl::Status InstallNetwork();

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_NETWORK_H_
