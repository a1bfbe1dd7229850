#ifndef CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_SPECIAL_H_
#define CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_SPECIAL_H_

#include <string>

#include "sentry/fs/overlay/node_layers.h"
#include "sentry/vfs/special_files.h"

namespace cloister::overlay {

// A symbolic link; its text never changes.
class OverlaySymlink final : public OverlayNode<vfs::SymlinkInode> {
 public:
  OverlaySymlink(const Ref<OverlayFs>& fs, NodeLayers::Birth birth) : OverlayNode(fs, std::move(birth)) {}

  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest&) override { return Errno::kLoop; }
  ErrnoOr<std::string> Readlink(const vfs::Caller& caller) override {
    return layers().current().AsSymlink()->Readlink(caller);
  }
};

// A FIFO, socket or device node: what its opens share belongs to the overlay's inode, so that a
// copy does not part them.
class OverlaySpecial final : public OverlayNode<vfs::Inode> {
 public:
  OverlaySpecial(const Ref<OverlayFs>& fs, NodeLayers::Birth birth, mode_t type)
      : OverlayNode(fs, std::move(birth), type) {}

  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override {
    return vfs::OpenSpecial(*this, layers().rdev(), request);
  }
};

}  // namespace cloister::overlay

#endif  // CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_SPECIAL_H_
