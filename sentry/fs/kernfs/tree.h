#ifndef CLOISTER_SENTRY_FS_KERNFS_TREE_H_
#define CLOISTER_SENTRY_FS_KERNFS_TREE_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sentry/vfs/inode.h"

namespace cloister::kernfs {

// A file system that the sentry makes up itself: proc, sysfs, devpts, cgroup2. Linux: kernfs.
class Tree : public vfs::FileSystem {
 public:
  // type: as /proc/filesystems names it; magic: statfs(2)'s f_type; options: as /proc/mounts shows them.
  // type must be a literal.
  Tree(std::string_view type, uint32_t magic, std::string options = "")
      : type_(type), magic_(magic), options_(std::move(options)) {}

  std::string_view type() const override { return type_; }
  ErrnoOr<struct statfs> StatFs() override;
  std::string OptionsText() const override { return options_; }

  uint64_t NextInode() { return next_inode_.fetch_add(1, std::memory_order_relaxed); }

 private:
  const std::string_view type_;
  const uint32_t magic_;
  const std::string options_;
  std::atomic<uint64_t> next_inode_{1};
};

// How a node begins, and whether chmod(2), chown(2) and utimes(2) change it or are refused (kPerm).
struct NodeSpec {
  mode_t mode = 0444;  // permission bits
  uid_t uid = 0;
  gid_t gid = 0;
  bool changeable = false;
  dev_t rdev = 0;
  uint32_t links = 1;
  uint64_t inode = 0;  // 0: the tree's next
};

// Attributes of one node. Thread-safe.
class NodeAttr {
 public:
  // tree must outlive it (the inode keeps it).
  NodeAttr(Tree& tree, mode_t type, const NodeSpec& spec);

  uint64_t inode() const { return inode_; }
  dev_t rdev() const { return rdev_; }
  struct statx Get() const ABSL_LOCKS_EXCLUDED(mu_);
  vfs::Ownership GetOwnership() const ABSL_LOCKS_EXCLUDED(mu_);
  // A change of size alone is taken and does nothing: files here are as long as what they say.
  ErrnoOrVoid Set(const vfs::AttrChange& change) ABSL_LOCKS_EXCLUDED(mu_);
  void SetMtimeNow() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const uint64_t inode_;
  const dev_t device_;
  const dev_t rdev_;
  const uint32_t links_;
  const bool changeable_;
  mutable absl::Mutex mu_;  // leaf
  vfs::Ownership owner_ ABSL_GUARDED_BY(mu_);
  timespec atime_ ABSL_GUARDED_BY(mu_);
  timespec mtime_ ABSL_GUARDED_BY(mu_);
  timespec ctime_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::kernfs

#endif  // CLOISTER_SENTRY_FS_KERNFS_TREE_H_
