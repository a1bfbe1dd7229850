#ifndef CLOISTER_SENTRY_VFS_MOUNT_H_
#define CLOISTER_SENTRY_VFS_MOUNT_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/vfs/dentry.h"
#include "sentry/vfs/path.h"

namespace cloister::vfs {

// A file system (or a part of one) attached to the tree. Linux: struct mount.
// Immutable but for its flags; its place is the namespace's.
class Mount : public RefCounted {
 public:
  // flags: MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, MS_RELATIME … of mount(2).
  // source: first field of /proc/mounts.
  Mount(Ref<FileSystem> fs, Ref<Dentry> root, uint64_t flags, std::string source);

  FileSystem& fs() const { return *fs_; }
  const Ref<Dentry>& root() const { return root_; }
  int id() const { return id_; }
  const std::string& source() const { return source_; }
  uint64_t flags() const { return flags_.load(std::memory_order_acquire); }
  void set_flags(uint64_t flags) { flags_.store(flags, std::memory_order_release); }
  // Whether changes are refused, by the mount or its file system.
  bool read_only() const;

 private:
  friend class MountNamespace;
  const Ref<FileSystem> fs_;
  const Ref<Dentry> root_;
  const int id_;
  const std::string source_;
  std::atomic<uint64_t> flags_;
  // Guarded by the namespace's lock. The root mount has no parent.
  Mount* parent_ = nullptr;
  Ref<Dentry> mount_point_;
};

// The tree of mounts that a set of tasks sees. Linux: struct mnt_namespace. Thread-safe.
class MountNamespace : public RefCounted {
 public:
  explicit MountNamespace(Ref<Mount> root);

  const Ref<Mount>& root() const { return root_; }
  Path RootPath() const;

  // Attaches mount over `at`; it covers what is there. `at` must be in this namespace.
  ErrnoOrVoid Attach(Ref<Mount> mount, const Path& at) ABSL_LOCKS_EXCLUDED(mu_);
  // Detaches the mount whose root `at` is: kBusy if something is mounted below it, unless lazy.
  ErrnoOrVoid Detach(const Path& at, bool lazy) ABSL_LOCKS_EXCLUDED(mu_);

  // The topmost mount that covers path, as its root; path itself where nothing is mounted.
  Path CoverOf(Path path) const ABSL_LOCKS_EXCLUDED(mu_);
  // The place that mount covers; empty for the root.
  Path MountPointOf(const Mount& mount) const ABSL_LOCKS_EXCLUDED(mu_);

  // In the order in which they were attached.
  struct Listed {
    Ref<Mount> mount;
    int parent_id;
    Path mount_point;  // empty for the root
  };
  std::vector<Listed> List() const ABSL_LOCKS_EXCLUDED(mu_);

  // A copy for CLONE_NEWNS; paths of a task move with Translate.
  Ref<MountNamespace> Copy() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable absl::Mutex mu_;  // below no lock; above none but dentries' counters
  Ref<Mount> root_;
  std::vector<Ref<Mount>> mounts_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::pair<const Mount*, const Dentry*>, Ref<Mount>> covers_ ABSL_GUARDED_BY(mu_);
};

// The path as text from root's point of view: "/usr/bin", "(unreachable)/x" outside root, with
// " (deleted)" behind it where the dentry is gone. Linux: d_path.
std::string PathText(const MountNamespace& ns, const Path& root, const Path& path);
// Whether `path` is `ancestor` or lies below it (across mounts).
bool IsBelow(const MountNamespace& ns, const Path& path, const Path& ancestor);

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_MOUNT_H_
