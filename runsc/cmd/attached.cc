#include "runsc/cmd/attached.h"

#include <sys/wait.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "runsc/container/container.h"
#include "runsc/container/directory.h"
#include "runsc/sandbox/foreground.h"

namespace cloister::cmd {
namespace {

absl::Status StartIt(const container::Runtime& runtime, const std::string& id) {
  container::Container container = TRY_STATUS(container::Container::Open(runtime.root, id));
  return container.Start();
}

absl::Status DeleteIt(const container::Runtime& runtime, const std::string& id) {
  absl::StatusOr<container::Container> container = container::Container::Open(runtime.root, id);
  // Somebody else may have deleted it.
  if (absl::IsNotFound(container.status())) return absl::OkStatus();
  if (!container.ok()) return container.status();
  const absl::Status deleted = container->Delete(/*force=*/true);
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

absl::Status SaveStatus(const std::string& file, int wait_status) {
  const std::string text = WIFEXITED(wait_status)
                               ? absl::StrCat("{\"exitCode\":", WEXITSTATUS(wait_status), "}\n")
                               : absl::StrCat("{\"signal\":", WTERMSIG(wait_status), "}\n");
  return container::WriteFileAtomically(file, text, 0644);
}

}  // namespace

absl::StatusOr<int> RunContainer(const container::Runtime& runtime, container::CreateOptions create,
                                 const AttachedOptions& options) {
  create.attached = !options.detach;
  std::optional<sandbox::Foreground> foreground;
  if (!options.detach) foreground = TRY_STATUS(sandbox::Foreground::Prepare());
  container::CreatedContainer created = TRY_STATUS(container::Create(runtime, create));
  const absl::Status started = StartIt(runtime, create.id);
  if (!started.ok()) {
    DeleteIt(runtime, create.id).IgnoreError();
    return absl::Status(started.code(), absl::StrCat("runc ", create.verb, " failed: ", started.message()));
  }
  if (options.detach) return 0;
  const absl::StatusOr<int> status = foreground->Run(created.monitor, std::move(created.master));
  if (!options.keep) RETURN_IF_ERROR(DeleteIt(runtime, create.id));
  if (!status.ok()) return status;
  if (!options.status_file.empty()) RETURN_IF_ERROR(SaveStatus(options.status_file, *status));
  return sandbox::ShellStatus(*status);
}

}  // namespace cloister::cmd
