#ifndef CLOISTER_SENTRY_TASK_FS_CONTEXT_H_
#define CLOISTER_SENTRY_TASK_FS_CONTEXT_H_

#include <sys/types.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "sentry/vfs/mount.h"
#include "sentry/vfs/path.h"

namespace cloister::task {

// Root, working directory and umask. Linux: struct fs_struct; shared by tasks made with CLONE_FS.
// Thread-safe.
class FsContext : public RefCounted {
 public:
  FsContext(Ref<vfs::MountNamespace> mounts, vfs::Path root, vfs::Path cwd, mode_t umask);

  struct View {
    Ref<vfs::MountNamespace> mounts;
    vfs::Path root;
    vfs::Path cwd;
    mode_t umask;
  };
  View Get() const ABSL_LOCKS_EXCLUDED(mu_);
  void SetCwd(vfs::Path cwd) ABSL_LOCKS_EXCLUDED(mu_);
  void SetRoot(vfs::Path root) ABSL_LOCKS_EXCLUDED(mu_);
  // Root and working directory that are `from` become `to`: pivot_root(2).
  void Replace(const vfs::Path& from, const vfs::Path& to) ABSL_LOCKS_EXCLUDED(mu_);
  mode_t SetUmask(mode_t umask) ABSL_LOCKS_EXCLUDED(mu_);  // returns the old one
  Ref<FsContext> Copy() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable absl::Mutex mu_;  // leaf
  View view_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_FS_CONTEXT_H_
