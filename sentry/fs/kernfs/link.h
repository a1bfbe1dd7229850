#ifndef CLOISTER_SENTRY_FS_KERNFS_LINK_H_
#define CLOISTER_SENTRY_FS_KERNFS_LINK_H_

#include <string>
#include <utility>

#include "sentry/fs/kernfs/tree.h"
#include "sentry/vfs/inode.h"

namespace cloister::kernfs {

// A symbolic link that the sentry makes up; subclasses compute where it leads.
class LinkBase : public vfs::SymlinkInode {
 public:
  explicit LinkBase(Ref<Tree> tree, const NodeSpec& spec = {.mode = 0777})
      : SymlinkInode(tree), attr_(*tree, S_IFLNK, spec) {}

  ErrnoOr<struct statx> GetAttr() override { return attr_.Get(); }
  ErrnoOr<vfs::Ownership> GetOwnership() override { return attr_.GetOwnership(); }
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override { return attr_.Set(change); }
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest&) override { return Errno::kLoop; }

 private:
  NodeAttr attr_;
};

// One that always leads to the same place.
class Link final : public LinkBase {
 public:
  Link(Ref<Tree> tree, std::string target) : LinkBase(std::move(tree)), target_(std::move(target)) {}
  ErrnoOr<std::string> Readlink(const vfs::Caller&) override { return target_; }

 private:
  const std::string target_;
};

}  // namespace cloister::kernfs

#endif  // CLOISTER_SENTRY_FS_KERNFS_LINK_H_
