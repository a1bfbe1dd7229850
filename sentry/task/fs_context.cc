#include "sentry/task/fs_context.h"

#include <utility>

namespace cloister::task {

FsContext::FsContext(Ref<vfs::MountNamespace> mounts, vfs::Path root, vfs::Path cwd, mode_t umask)
    : view_{std::move(mounts), std::move(root), std::move(cwd), umask} {}

FsContext::View FsContext::Get() const {
  absl::MutexLock lock(&mu_);
  return view_;
}

void FsContext::SetCwd(vfs::Path cwd) {
  absl::MutexLock lock(&mu_);
  std::swap(view_.cwd, cwd);
}

void FsContext::SetRoot(vfs::Path root) {
  absl::MutexLock lock(&mu_);
  std::swap(view_.root, root);
}

void FsContext::Replace(const vfs::Path& from, const vfs::Path& to) {
  View old = Get();  // what is let go is let go outside the lock
  absl::MutexLock lock(&mu_);
  if (view_.root == from) view_.root = to;
  if (view_.cwd == from) view_.cwd = to;
}

mode_t FsContext::SetUmask(mode_t umask) {
  absl::MutexLock lock(&mu_);
  return std::exchange(view_.umask, umask & 0777);
}

Ref<FsContext> FsContext::Copy() const {
  const View view = Get();
  return MakeRef<FsContext>(view.mounts, view.root, view.cwd, view.umask);
}

}  // namespace cloister::task
