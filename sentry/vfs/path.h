#ifndef CLOISTER_SENTRY_VFS_PATH_H_
#define CLOISTER_SENTRY_VFS_PATH_H_

#include "base/own/ref.h"

namespace cloister::vfs {

class Dentry;
class Mount;

// A place in the tree: a dentry seen through a mount. Linux: struct path. Holds both alive.
// Special members are defined where Dentry and Mount are complete (path.cc), so that this header is light.
class Path {
 public:
  Path();
  Path(Ref<Mount> mount, Ref<Dentry> dentry);
  Path(const Path&);
  Path(Path&&) noexcept;
  Path& operator=(const Path&);
  Path& operator=(Path&&) noexcept;
  ~Path();

  explicit operator bool() const { return static_cast<bool>(dentry_); }
  const Ref<Mount>& mount() const { return mount_; }
  const Ref<Dentry>& dentry() const { return dentry_; }
  friend bool operator==(const Path& a, const Path& b) {
    return a.mount_ == b.mount_ && a.dentry_ == b.dentry_;
  }

 private:
  Ref<Mount> mount_;
  Ref<Dentry> dentry_;
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_PATH_H_
