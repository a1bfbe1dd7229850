#ifndef CLOISTER_SENTRY_BOOT_TERMINAL_H_
#define CLOISTER_SENTRY_BOOT_TERMINAL_H_

#include <functional>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "sentry/control/control.pb.h"
#include "sentry/fs/kernfs/mountable.h"
#include "sentry/fs/tty/devpts.h"
#include "sentry/task/kernel.h"

namespace cloister::boot {

// A host pty's slave as a terminal of the guest.
struct GuestTerminal {
  Ref<vfs::FileDescription> file;  // open for reading and writing
  Ref<task::ControllingTerminal> terminal;
  std::function<void()> on_window_change;
};
absl::StatusOr<GuestTerminal> MakeTerminal(task::Kernel& kernel, const std::string& container,
                                           const control::Process& process, auth::CredRef cred,
                                           UniqueFd host_tty);

// A process that was made with a terminal gets to be in its foreground. For Kernel::CreateProcess'
// result, before Release; nothing where it has none.
void GiveTerminal(task::ThreadGroup& leader);

// /dev/tty, /dev/console, /dev/ptmx and terminals' own numbers are served, wherever they lie: the calling
// task's container's. Once, before the first container.
void RegisterTerminals(task::Kernel& kernel);
// The container's terminals, made on first use.
Ref<tty::DevPts> DevPtsOf(task::Kernel& kernel, const std::string& container);
// The container is gone for good, and with it its terminals.
void ForgetDevPts(const std::string& container);
// A mount of type devpts: always the same instance in a container. Its options count if it is the first to
// ask.
absl::StatusOr<kernfs::Mountable> MountDevPts(task::Kernel& kernel, const std::string& container,
                                              const control::Mount& mount);

// Waits until the host has taken what was written to its terminals, as long as it takes any: the
// last thing before the sandbox ends.
void DrainTerminals();

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_TERMINAL_H_
