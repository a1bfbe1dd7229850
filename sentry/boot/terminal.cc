#include "sentry/boot/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "base/error/status.h"
#include "sentry/fs/tty/host_terminal.h"
#include "sentry/fs/tty/job_control.h"
#include "sentry/task/current.h"
#include "sentry/task/task.h"
#include "sentry/task/thread_group.h"

namespace cloister::boot {
namespace {

// By the container's id. Never destroyed: drivers refer to them as long as the process lives.
struct Terminals {
  absl::Mutex mu;
  std::map<std::string, Ref<tty::DevPts>> of ABSL_GUARDED_BY(mu);
};

Terminals& TheTerminals() {
  static auto* const terminals = new Terminals;
  return *terminals;
}

Ref<tty::DevPts> DevPtsWith(task::Kernel& kernel, const std::string& container,
                            const tty::DevPts::Options& options) {
  Terminals& terminals = TheTerminals();
  absl::MutexLock lock(&terminals.mu);
  Ref<tty::DevPts>& devpts = terminals.of[container];
  if (!devpts) devpts = MakeRef<tty::DevPts>(kernel, options);
  return devpts;
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

void RegisterTerminals(task::Kernel& kernel) {
  tty::RegisterTerminalDevices([&kernel] {
    const task::Task* const task = task::CurrentTask::Get();
    return DevPtsOf(kernel, task != nullptr ? task->group().container_id : std::string());
  });
}

Ref<tty::DevPts> DevPtsOf(task::Kernel& kernel, const std::string& container) {
  return DevPtsWith(kernel, container, tty::DevPts::Options());
}

void ForgetDevPts(const std::string& container) {
  Ref<tty::DevPts> gone;  // released outside the lock
  Terminals& terminals = TheTerminals();
  absl::MutexLock lock(&terminals.mu);
  const auto found = terminals.of.find(container);
  if (found == terminals.of.end()) return;
  gone = std::move(found->second);
  terminals.of.erase(found);
}

absl::StatusOr<kernfs::Mountable> MountDevPts(task::Kernel& kernel, const std::string& container,
                                              const control::Mount& mount) {
  const std::string text = absl::StrJoin(mount.options(), ",");
  const ErrnoOr<tty::DevPts::Options> options = tty::DevPts::ParseOptions(text);
  if (!options.ok()) return ToStatus(options.error(), text);
  return DevPtsWith(kernel, container, *options)->Mount();
}

absl::StatusOr<GuestTerminal> MakeTerminal(task::Kernel& kernel, const std::string& container,
                                           const control::Process& process, auth::CredRef cred,
                                           UniqueFd host_tty) {
  const Ref<tty::DevPts> devpts = DevPtsOf(kernel, container);
  const Ref<tty::HostTerminal> terminal =
      TRY_STATUS(devpts->AddHostTerminal(std::move(host_tty), process.uid()));
  SizeWindow(process, *terminal);
  // Nobody runs yet who could take it as his controlling terminal: see GiveTerminal.
  ErrnoOr<Ref<vfs::FileDescription>> file =
      devpts->OpenTerminal(*terminal, {O_RDWR | O_NOCTTY, {}, std::move(cred)});
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

void DrainTerminals() {
  std::vector<Ref<tty::DevPts>> all;
  {
    Terminals& terminals = TheTerminals();
    absl::MutexLock lock(&terminals.mu);
    for (const auto& [container, devpts] : terminals.of) all.push_back(devpts);
  }
  for (const Ref<tty::DevPts>& devpts : all) {
    for (const Ref<tty::HostTerminal>& terminal : devpts->HostTerminals()) terminal->Drain();
  }
}

}  // namespace cloister::boot
