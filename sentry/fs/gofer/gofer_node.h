#ifndef CLOISTER_SENTRY_FS_GOFER_GOFER_NODE_H_
#define CLOISTER_SENTRY_FS_GOFER_GOFER_NODE_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sentry/fs/gofer/gofer_fs.h"
#include "sentry/fs/gofer/remote.h"

namespace cloister::goferfs {

// An inode of one of the VFS' kinds with a Remote behind it.
template <typename Base>
class GoferNode : public Base {
 public:
  // Further arguments are Base's.
  template <typename... Args>
  GoferNode(const Ref<GoferFs>& fs, const gofer::Node& node, Ref<GoferDirectory> parent,
            std::string_view name, Args&&... args)
      : Base(fs, std::forward<Args>(args)...), remote_(fs, node, std::move(parent), name) {}

  Remote& remote() { return remote_; }
  const Remote& remote() const { return remote_; }

  ErrnoOr<struct statx> GetAttr() override { return remote_.GetAttr(); }
  ErrnoOr<vfs::Ownership> GetOwnership() override { return remote_.GetOwnership(); }
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override { return remote_.SetAttr(change); }
  ErrnoOr<std::string> GetXattr(const std::string& name) override { return remote_.GetXattr(name); }
  ErrnoOrVoid SetXattr(const std::string& name, std::string_view value, int flags) override {
    return remote_.SetXattr(name, value, flags);
  }
  ErrnoOrVoid RemoveXattr(const std::string& name) override { return remote_.RemoveXattr(name); }
  ErrnoOr<std::vector<std::string>> ListXattr() override { return remote_.ListXattr(); }

 protected:
  ~GoferNode() override { remote_.fs().Drop(remote_.key(), this); }

 private:
  Remote remote_;
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_GOFER_NODE_H_
