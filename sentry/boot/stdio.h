#ifndef CLOISTER_SENTRY_BOOT_STDIO_H_
#define CLOISTER_SENTRY_BOOT_STDIO_H_

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "sentry/control/control.pb.h"
#include "sentry/task/kernel.h"

namespace cloister::boot {

// What a process begins with: its descriptors, and the terminal they are, if any.
struct Stdio {
  Ref<vfs::FdTable> files;
  Ref<task::ControllingTerminal> terminal;
  std::function<void()> on_window_change;
};

// Turns donated host descriptors into the guest's 0, 1, 2 and, behind them, `preserved` more. With a
// terminal the first is a pty's slave and all three are it.
absl::StatusOr<Stdio> MakeStdio(task::Kernel& kernel, const std::string& container,
                                const control::Process& process, std::vector<UniqueFd> fds);

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_STDIO_H_
