#ifndef CLOISTER_SENTRY_FS_TMP_TMP_SPECIAL_H_
#define CLOISTER_SENTRY_FS_TMP_TMP_SPECIAL_H_

#include <string>
#include <string_view>

#include "sentry/fs/tmp/node_state.h"

namespace cloister::tmp {

class TmpSymlink final : public TmpNode<vfs::SymlinkInode> {
 public:
  TmpSymlink(const Ref<TmpFs>& fs, const vfs::NewNode& owner, std::string_view target)
      : TmpNode(fs, owner, 1), target_(target) {}

  ErrnoOr<struct statx> GetAttr() override;
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest&) override { return Errno::kLoop; }
  ErrnoOr<std::string> Readlink(const vfs::Caller&) override;

 private:
  const std::string target_;
};

// A FIFO, socket or device node.
class TmpSpecial final : public TmpNode<vfs::Inode> {
 public:
  TmpSpecial(const Ref<TmpFs>& fs, const vfs::NewNode& node) : TmpNode(fs, node, 1, node.mode) {}

  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override;
};

}  // namespace cloister::tmp

#endif  // CLOISTER_SENTRY_FS_TMP_TMP_SPECIAL_H_
