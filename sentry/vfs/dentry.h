#ifndef CLOISTER_SENTRY_VFS_DENTRY_H_
#define CLOISTER_SENTRY_VFS_DENTRY_H_

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/vfs/inode.h"
#include "sentry/vfs/name_map.h"

namespace cloister::vfs {

// A name in a directory and what it names (an inode, or nothing: a negative dentry). The cache of
// the tree. Linux: struct dentry. A parent holds its cached children; a child holds its parent; the
// ring is broken when the last mount of the tree goes (ForgetTree). What a dentry names never
// changes: a name that comes to mean something else gets a new dentry.
//
// Lock order:
//   rename_mutex()                 (changes of parent_ and name_; readers that climb take it shared)
//     Dentry::mu_ of the ancestor
//       Dentry::mu_ of the descendant, or of the one with the higher address
//         locks of inodes
class Dentry : public RefCounted {
 public:
  // The root of a file system.
  static Ref<Dentry> MakeRoot(Ref<Inode> inode);
  // A name that is in no directory's cache: an O_TMPFILE's, below the directory it was made in.
  static Ref<Dentry> MakeUnnamed(Ref<Dentry> parent, std::string_view name, Ref<Inode> inode);
  ~Dentry() override;

  // Null when negative.
  const Ref<Inode>& inode() const { return inode_; }
  bool negative() const { return !inode_; }

  // The child, cached or looked up; a negative dentry where there is none (never kNoEnt).
  // kNotDir if this is no directory.
  ErrnoOr<Ref<Dentry>> Child(std::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  // The child if it is in the cache.
  Ref<Dentry> CachedChild(std::string_view name) ABSL_LOCKS_EXCLUDED(mu_);

  // Serialises changes of the directory's entries (Linux: i_rwsem of the directory).
  absl::Mutex& mu() const ABSL_LOCK_RETURNED(mu_) { return mu_; }
  ErrnoOr<Ref<Dentry>> ChildLocked(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // name now names inode (null: nothing); a dentry that was there is unhashed.
  Ref<Dentry> SetChildLocked(std::string_view name, Ref<Inode> inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The child no longer exists (unlink, rmdir): open files keep the dentry, the tree loses it.
  void DropChildLocked(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // For one that is deleted: lets go of all that is cached below it, where nobody finds it any more. A
  // directory and its cached children, negative ones too, would else hold each other forever.
  void ForgetOrphans() ABSL_LOCKS_EXCLUDED(mu_);
  // Forgets everything cached below that nobody uses (memory pressure, shared mounts).
  void ForgetChildren() ABSL_LOCKS_EXCLUDED(mu_);
  // The same for the whole tree that this dentry is in.
  void ForgetTree() ABSL_LOCKS_EXCLUDED(rename_mutex());

  static absl::Mutex& rename_mutex();
  // For readers that hold rename_mutex(). A root's parent is null.
  const Ref<Dentry>& parent() const ABSL_SHARED_LOCKS_REQUIRED(rename_mutex()) { return parent_; }
  const std::string& name() const ABSL_SHARED_LOCKS_REQUIRED(rename_mutex()) { return name_; }
  // Moves child from one directory to another; both directories' locks and rename_mutex() held.
  // What had the new name is deleted.
  static void MoveLocked(Dentry& from, std::string_view name, Dentry& to, std::string_view new_name);
  // Two names change places (RENAME_EXCHANGE); likewise.
  static void ExchangeLocked(Dentry& one, std::string_view name, Dentry& other, std::string_view other_name);
  // Whether this is `ancestor` or lies below it in its own tree. rename_mutex() held.
  bool IsAtOrBelow(const Dentry& ancestor) const ABSL_SHARED_LOCKS_REQUIRED(rename_mutex());

  // Removed from its directory; a path through it ends in " (deleted)".
  bool deleted() const { return deleted_.load(std::memory_order_acquire); }

  // A mount sits on this dentry in some namespace: the walk then asks the mount table.
  bool mounted_on() const { return mounts_here_.load(std::memory_order_acquire) > 0; }
  void AddMountHere() { mounts_here_.fetch_add(1); }
  void RemoveMountHere() { mounts_here_.fetch_sub(1); }

 protected:
  // Not recursive: a chain of dentries may be deeper than the stack.
  void OnLastRef() override;

 private:
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);
  Dentry(Ref<Dentry> parent, std::string_view name, Ref<Inode> inode);

  // The cached child while it may be believed without asking; null otherwise.
  Ref<Dentry> FindFreshLocked(std::string_view name) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // Takes one that is in use out of the cache of its old directory and puts it here.
  void AdoptLocked(Ref<Dentry> child, std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MarkDeleted(const Dentry& child);
  std::vector<Ref<Dentry>> DirectoriesBelow() ABSL_LOCKS_EXCLUDED(mu_);
  void DropUnusedChildren() ABSL_LOCKS_EXCLUDED(mu_);

  using Children = NameMap<Ref<Dentry>>;

  const Ref<Inode> inode_;
  const bool revalidate_;  // DirectoryInode::Cache of inode_
  mutable absl::Mutex mu_;
  Children children_ ABSL_GUARDED_BY(mu_);
  Ref<Dentry> parent_;  // NOLINT: changed under rename_mutex()
  std::string name_;    // NOLINT: likewise
  std::atomic<bool> deleted_{false};
  std::atomic<int> mounts_here_{0};
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_DENTRY_H_
