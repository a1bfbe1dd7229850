#include <dirent.h>
#include <unistd.h>

#include <algorithm>

#include "sentry/vfs/dentry.h"
#include "sentry/vfs/directory_file.h"
#include "sentry/vfs/mount.h"

namespace cloister::vfs {
namespace {

ErrnoOr<uint64_t> NumberOf(Inode& inode) { return TRY(inode.GetAttr()).stx_ino; }

// What ".." is numbered as: the parent, or the directory itself at the root of a file system.
ErrnoOr<uint64_t> NumberOfParent(const Path& path, Inode& self) {
  Ref<Dentry> parent;
  if (path) {
    absl::ReaderMutexLock lock(&Dentry::rename_mutex());
    parent = path.dentry()->parent();
  }
  return NumberOf(parent && parent->inode() ? *parent->inode() : self);
}

}  // namespace

ErrnoOrVoid CookieDirectory::ReadDir(absl::FunctionRef<bool(const Entry&)> emit) {
  const Ref<Inode> self = inode();
  absl::MutexLock lock(&position_mu_);
  if (position_ == 0) {
    if (!emit({TRY(NumberOf(*self)), DT_DIR, ".", 1})) return {};
    position_ = 1;
  }
  if (position_ == 1) {
    if (!emit({TRY(NumberOfParent(path(), *self)), DT_DIR, "..", kFirstCookie})) return {};
    position_ = kFirstCookie;
  }
  return Emit(std::max(position_, kFirstCookie),
              [&](const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(position_mu_) {
                if (!emit(entry)) return false;
                position_ = entry.next;
                return true;
              });
}

ErrnoOr<int64_t> CookieDirectory::Seek(int64_t offset, int whence) {
  absl::MutexLock lock(&position_mu_);
  if (whence != SEEK_SET && whence != SEEK_CUR) return Errno::kInval;
  int64_t target;
  if (__builtin_add_overflow(whence == SEEK_CUR ? position_ : 0, offset, &target)) return Errno::kInval;
  if (target < 0) return Errno::kInval;
  position_ = target;
  return target;
}

}  // namespace cloister::vfs
