#include "sentry/boot/gofer_mounts.h"

#include <signal.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "sentry/fs/gofer/client.h"
#include "sentry/fs/gofer/gofer_fs.h"

namespace cloister::boot {

void OnGoferLost() {
  LOG(kError, "the gofer is gone; the sandbox ends");
  _exit(1);
}

absl::StatusOr<Ref<goferfs::Gofer>> ConnectGofer(UniqueFd channel, std::function<void()> on_lost) {
  return MakeRef<goferfs::Gofer>(
      TRY_STATUS(goferfs::GoferClient::Connect(std::move(channel), std::move(on_lost))));
}

GoferMounter MounterOf(Ref<goferfs::Gofer> gofer) {
  return [gofer = std::move(gofer)](int attach_point, bool shared) -> absl::StatusOr<kernfs::Mountable> {
    goferfs::GoferMountOptions options;
    options.attach = static_cast<uint32_t>(attach_point);
    options.shared = shared;
    const ErrnoOr<Ref<vfs::Mount>> mount = goferfs::GoferFs::Mount(gofer, options);
    if (!mount.ok()) return ToStatus(mount.error(), absl::StrCat("attach point ", attach_point));
    return kernfs::Mountable{Ref<vfs::FileSystem>(&(*mount)->fs()), (*mount)->root()->inode()};
  };
}

}  // namespace cloister::boot
