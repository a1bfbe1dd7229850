#ifndef CLOISTER_SENTRY_FS_GOFER_SPECIAL_H_
#define CLOISTER_SENTRY_FS_GOFER_SPECIAL_H_

#include <string>
#include <string_view>

#include "sentry/fs/gofer/directory.h"
#include "sentry/fs/gofer/gofer_node.h"
#include "sentry/vfs/special_files.h"

namespace cloister::goferfs {

// A symbolic link; its text came with the node and cannot change.
class GoferSymlink final : public GoferNode<vfs::SymlinkInode> {
 public:
  GoferSymlink(const Ref<GoferFs>& fs, const gofer::Node& node, Ref<GoferDirectory> parent,
               std::string_view name)
      : GoferNode(fs, node, std::move(parent), name), target_(node.target()) {}

  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest&) override { return Errno::kLoop; }
  ErrnoOr<std::string> Readlink(const vfs::Caller&) override { return target_; }

 private:
  const std::string target_;
};

// A FIFO, socket or device node: a name on the host, whose behaviour is the sentry's own.
class GoferSpecial final : public GoferNode<vfs::Inode> {
 public:
  GoferSpecial(const Ref<GoferFs>& fs, const gofer::Node& node, Ref<GoferDirectory> parent,
               std::string_view name)
      : GoferNode(fs, node, std::move(parent), name, static_cast<mode_t>(node.attr().mode())) {}

  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override {
    return vfs::OpenSpecial(*this, remote().rdev(), request);
  }
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_SPECIAL_H_
