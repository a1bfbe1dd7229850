#include "sentry/boot/stdio.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "sentry/boot/program.h"
#include "sentry/boot/terminal.h"
#include "sentry/fs/host/host_file.h"

namespace cloister::boot {
namespace {

constexpr uint64_t kNoLimit = 1 << 20;

absl::Status Install(vfs::FdTable& files, int number, Ref<vfs::FileDescription> file) {
  const auto installed = files.InstallAt(number, std::move(file), false, kNoLimit);
  if (!installed.ok()) return ToStatus(installed.error(), absl::StrCat("descriptor ", number));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Stdio> MakeStdio(task::Kernel& kernel, const std::string& container,
                                const control::Process& process, std::vector<UniqueFd> fds) {
  Stdio stdio;
  stdio.files = MakeRef<vfs::FdTable>();
  const auth::CredRef cred = CredentialsOf(process);
  int number = 0;
  size_t next = 0;
  if (process.terminal()) {
    if (fds.empty()) return absl::InvalidArgumentError("process.terminal: no terminal was given");
    const GuestTerminal terminal =
        TRY_STATUS(MakeTerminal(kernel, container, process, cred, std::move(fds[next++])));
    for (; number < 3; ++number) RETURN_IF_ERROR(Install(*stdio.files, number, terminal.file));
    stdio.terminal = terminal.terminal;
    stdio.on_window_change = terminal.on_window_change;
  }
  for (; next < fds.size(); ++next, ++number) {
    ErrnoOr<Ref<vfs::FileDescription>> file =
        hostfs::ImportHostFile(std::move(fds[next]), process.uid(), process.gid(), cred);
    if (!file.ok())
      return ToStatus(file.error(), absl::StrCat("descriptor ", number, " cannot be given to a container"));
    RETURN_IF_ERROR(Install(*stdio.files, number, *std::move(file)));
  }
  return stdio;
}

}  // namespace cloister::boot
