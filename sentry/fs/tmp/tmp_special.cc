#include "sentry/fs/tmp/tmp_special.h"

#include "sentry/vfs/special_files.h"

namespace cloister::tmp {

ErrnoOr<struct statx> TmpSymlink::GetAttr() {
  struct statx attr = state().Attr();
  attr.stx_size = target_.size();
  return attr;
}

ErrnoOr<std::string> TmpSymlink::Readlink(const vfs::Caller&) {
  state().TouchByReading(false);
  return target_;
}

ErrnoOr<Ref<vfs::FileDescription>> TmpSpecial::Open(const vfs::OpenRequest& request) {
  return vfs::OpenSpecial(*this, state().rdev(), request);
}

}  // namespace cloister::tmp
