#include "sentry/boot/file_systems.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "sentry/fs/pipe/pipe_file.h"

namespace cloister::boot {

absl::StatusOr<kernfs::Mountable> MakeFileSystem(task::Kernel&, const control::Container&,
                                                 const control::Mount& mount) {
  return absl::InvalidArgumentError(absl::StrCat("unknown file system type \"", mount.type(), "\""));
}

absl::StatusOr<kernfs::Mountable> OverlayOver(kernfs::Mountable lower) { return lower; }

void RegisterSpecialFiles(task::Kernel&) { pipe::ServeFifos(); }

}  // namespace cloister::boot
