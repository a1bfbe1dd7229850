#include "sentry/vfs/path.h"

#include <utility>

#include "sentry/vfs/dentry.h"
#include "sentry/vfs/mount.h"

namespace cloister::vfs {

Path::Path() = default;
Path::Path(Ref<Mount> mount, Ref<Dentry> dentry) : mount_(std::move(mount)), dentry_(std::move(dentry)) {}
Path::Path(const Path&) = default;
Path::Path(Path&&) noexcept = default;
Path& Path::operator=(const Path& other) { return *this = Path(other); }
Path& Path::operator=(Path&& other) noexcept {
  if (this != &other) {
    const Path old(std::move(*this));
    mount_ = std::move(other.mount_);
    dentry_ = std::move(other.dentry_);
  }
  return *this;
}
Path::~Path() {
  // The mount last: it forgets its cached tree when it goes, and this dentry with it.
  dentry_.reset();
}

}  // namespace cloister::vfs
