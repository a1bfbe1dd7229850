#ifndef CLOISTER_SENTRY_BOOT_TERMINAL_H_
#define CLOISTER_SENTRY_BOOT_TERMINAL_H_

#include <functional>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "sentry/control/control.pb.h"
#include "sentry/task/kernel.h"

namespace cloister::boot {

// A host pty's slave as a terminal of the guest.
struct GuestTerminal {
  Ref<vfs::FileDescription> file;  // open for reading and writing
  Ref<task::ControllingTerminal> terminal;
  std::function<void()> on_window_change;
};
absl::StatusOr<GuestTerminal> MakeTerminal(task::Kernel& kernel, const control::Process& process,
                                           auth::CredRef cred, UniqueFd host_tty);

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_TERMINAL_H_
