#include "sentry/boot/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "base/error/status.h"
#include "sentry/fs/tty/host_terminal.h"
#include "sentry/fs/tty/job_control.h"
#include "sentry/task/thread_group.h"

namespace cloister::boot {
namespace {

// The one kernel's terminals. Never destroyed: drivers refer to them as long as the process lives.
struct Terminals {
  absl::Mutex mu;
  Ref<tty::DevPts> devpts ABSL_GUARDED_BY(mu);
};

Terminals& TheTerminals() {
  static auto* const terminals = new Terminals;
  return *terminals;
}

tty::DevPts& DevPtsWith(task::Kernel& kernel, const tty::DevPts::Options& options) {
  Terminals& terminals = TheTerminals();
  absl::MutexLock lock(&terminals.mu);
  if (!terminals.devpts) {
    terminals.devpts = MakeRef<tty::DevPts>(kernel, options);
    tty::RegisterTerminalDevices(terminals.devpts);
  }
  return *terminals.devpts;
}

// The host's size, unless it has none: then config.json's consoleSize.
void SizeWindow(const control::Process& process, tty::HostTerminal& terminal) {
  constexpr uint32_t kMost = 0xffff;
  struct winsize size = terminal.WindowSize();
  if (size.ws_row != 0 || size.ws_col != 0) return;
  if (process.rows() > kMost || process.columns() > kMost) return;
  size.ws_row = static_cast<unsigned short>(process.rows());
  size.ws_col = static_cast<unsigned short>(process.columns());
  terminal.SetWindowSize(size);
}

}  // namespace

tty::DevPts& DevPtsOf(task::Kernel& kernel) { return DevPtsWith(kernel, tty::DevPts::Options()); }

absl::StatusOr<kernfs::Mountable> MountDevPts(task::Kernel& kernel, const control::Mount& mount) {
  const std::string text = absl::StrJoin(mount.options(), ",");
  const ErrnoOr<tty::DevPts::Options> options = tty::DevPts::ParseOptions(text);
  if (!options.ok()) return ToStatus(options.error(), text);
  return DevPtsWith(kernel, *options).Mount();
}

absl::StatusOr<GuestTerminal> MakeTerminal(task::Kernel& kernel, const control::Process& process,
                                           auth::CredRef cred, UniqueFd host_tty) {
  tty::DevPts& devpts = DevPtsOf(kernel);
  const Ref<tty::HostTerminal> terminal =
      TRY_STATUS(devpts.AddHostTerminal(std::move(host_tty), process.uid()));
  SizeWindow(process, *terminal);
  // Nobody runs yet who could take it as his controlling terminal: see GiveTerminal.
  ErrnoOr<Ref<vfs::FileDescription>> file =
      devpts.OpenTerminal(*terminal, {O_RDWR | O_NOCTTY, {}, std::move(cred)});
  if (!file.ok()) return ToStatus(file.error(), "the terminal");
  return GuestTerminal{*std::move(file), terminal, [terminal] { terminal->WindowMayHaveChanged(); }};
}

void GiveTerminal(task::ThreadGroup& leader) {
  Ref<task::ControllingTerminal> terminal;
  {
    absl::MutexLock lock(&leader.kernel().tree_mu());
    terminal = leader.process_group->session()->terminal;
  }
  // Every terminal that a session can have is one of sentry/fs/tty.
  if (terminal) tty::BecomeControlling(static_cast<tty::Terminal&>(*terminal), leader);
}

void DrainTerminals(task::Kernel& kernel) {
  for (const Ref<tty::HostTerminal>& terminal : DevPtsOf(kernel).HostTerminals()) terminal->Drain();
}

}  // namespace cloister::boot
