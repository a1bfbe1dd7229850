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
  // Forgets the cached tree as far as no other mount uses it.
  ~Mount() override;

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
};

// The tree of mounts that a set of tasks sees. Linux: struct mnt_namespace. Thread-safe.
class MountNamespace : public RefCounted {
 public:
  explicit MountNamespace(Ref<Mount> root);
  ~MountNamespace() override;

  Ref<Mount> root() const ABSL_LOCKS_EXCLUDED(mu_);
  Path RootPath() const ABSL_LOCKS_EXCLUDED(mu_);

  // Attaches mount over `at`; it covers what is there. `at` must be in this namespace (else
  // kInval). kNoSpc where there are too many mounts.
  ErrnoOrVoid Attach(Ref<Mount> mount, const Path& at) ABSL_LOCKS_EXCLUDED(mu_);
  // Detaches the mount whose root `at` is (else kInval): kBusy if something is mounted below it or
  // a path other than `at` holds it, unless lazy: then all that is below goes too.
  ErrnoOrVoid Detach(const Path& at, bool lazy) ABSL_LOCKS_EXCLUDED(mu_);
  // Moves the mount whose root `from` is to cover `to` (MS_MOVE). kLoop if `to` is below it.
  ErrnoOrVoid Move(const Path& from, const Path& to) ABSL_LOCKS_EXCLUDED(mu_);
  // pivot_root(2): new_root becomes the root mount, the old one covers put_old. The caller has
  // checked that put_old is at or below new_root.
  ErrnoOrVoid Pivot(const Path& new_root, const Path& put_old) ABSL_LOCKS_EXCLUDED(mu_);

  // The topmost mount that covers path, as its root; path itself where nothing is mounted.
  Path CoverOf(Path path) const ABSL_LOCKS_EXCLUDED(mu_);
  // The place that mount covers; empty for the root.
  Path MountPointOf(const Mount& mount) const ABSL_LOCKS_EXCLUDED(mu_);
  bool Contains(const Mount& mount) const ABSL_LOCKS_EXCLUDED(mu_);
  // Whether something of this namespace is mounted on dentry, through any mount.
  bool IsMountPoint(const Dentry& dentry) const ABSL_LOCKS_EXCLUDED(mu_);

  // In the order in which they were attached.
  struct Listed {
    Ref<Mount> mount;
    int parent_id;
    Path mount_point;  // empty for the root
  };
  std::vector<Listed> List() const ABSL_LOCKS_EXCLUDED(mu_);

  // A copy for CLONE_NEWNS, with mounts of its own.
  Ref<MountNamespace> Copy() const ABSL_LOCKS_EXCLUDED(mu_);
  // In a copy: the place of a path of the original, which must still exist.
  Path Translate(const Path& path) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // One mount and its place: parent is null for the root.
  struct Placed {
    Ref<Mount> mount;
    Ref<Mount> parent;
    Ref<Dentry> point;
    const Mount* origin = nullptr;  // Copy: the mount it was made from; compared only
  };
  using Key = std::pair<const Mount*, const Dentry*>;

  Placed* FindLocked(const Mount& mount) ABSL_SHARED_LOCKS_REQUIRED(mu_);
  const Placed* FindLocked(const Mount& mount) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // Whether mount is `top` or mounted somewhere below it.
  bool IsUnderLocked(const Mount& mount, const Mount& top) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void CoverLocked(Placed& placed, const Path& at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UncoverLocked(Placed& placed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;  // below no lock; above none but dentries' counters
  Ref<Mount> root_ ABSL_GUARDED_BY(mu_);
  std::vector<Placed> mounts_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<Key, Ref<Mount>> covers_ ABSL_GUARDED_BY(mu_);
};

// The path as text from root's point of view: "/usr/bin", "(unreachable)/x" outside root, with
// " (deleted)" behind it where the dentry is gone. Linux: d_path.
std::string PathText(const MountNamespace& ns, const Path& root, const Path& path);
// The path within its own mount, for those who know no namespace: names of mapped files.
std::string PathInMount(const Path& path);
// Whether `path` is `ancestor` or lies below it (across mounts).
bool IsBelow(const MountNamespace& ns, const Path& path, const Path& ancestor);

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_MOUNT_H_
