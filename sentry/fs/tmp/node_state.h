#ifndef CLOISTER_SENTRY_FS_TMP_NODE_STATE_H_
#define CLOISTER_SENTRY_FS_TMP_NODE_STATE_H_

#include <sys/stat.h>
#include <time.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/fs/tmp/tmp_fs.h"
#include "sentry/vfs/inode.h"

namespace cloister::tmp {

// What every inode of a tmpfs has, whatever its kind: owner, mode, times, links and extended
// attributes. Thread-safe.
class NodeState {
 public:
  enum Times : unsigned { kAccess = 1, kModify = 2, kChange = 4 };

  // The caller has taken an inode from fs; it is given back at the end.
  NodeState(Ref<TmpFs> fs, const vfs::NewNode& node, uint32_t links);
  ~NodeState();

  TmpFs& fs() const { return *fs_; }
  uint64_t number() const { return number_; }
  dev_t rdev() const { return rdev_; }

  // All but size and blocks.
  struct statx Attr() const ABSL_LOCKS_EXCLUDED(mu_);
  vfs::Ownership owner() const ABSL_LOCKS_EXCLUDED(mu_);
  // All but the size.
  void Change(const vfs::AttrChange& change) ABSL_LOCKS_EXCLUDED(mu_);
  // Sets these times (a union of Times) to now.
  void Touch(unsigned times) ABSL_LOCKS_EXCLUDED(mu_);
  // A read: moves the access time by the rule of MS_RELATIME, or always where strict.
  void TouchByReading(bool strict) ABSL_LOCKS_EXCLUDED(mu_);

  uint32_t links() const ABSL_LOCKS_EXCLUDED(mu_);
  void AddLinks(int difference) ABSL_LOCKS_EXCLUDED(mu_);
  // One name more: kNoEnt when the last one is gone already, unless it never had any and may get one.
  ErrnoOrVoid Link() ABSL_LOCKS_EXCLUDED(mu_);
  // For O_TMPFILE: without O_EXCL its first name may still come.
  void AllowFirstLink(bool allow) ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<std::string> GetXattr(const std::string& name) const ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid SetXattr(const std::string& name, std::string_view value, int flags) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid RemoveXattr(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::string> ListXattr() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const Ref<TmpFs> fs_;
  const uint64_t number_;
  const dev_t rdev_;
  mutable absl::Mutex mu_;  // leaf
  vfs::Ownership owner_ ABSL_GUARDED_BY(mu_);
  uint32_t links_ ABSL_GUARDED_BY(mu_);
  bool first_link_allowed_ ABSL_GUARDED_BY(mu_) = false;
  timespec atime_ ABSL_GUARDED_BY(mu_);
  timespec mtime_ ABSL_GUARDED_BY(mu_);
  timespec ctime_ ABSL_GUARDED_BY(mu_);
  timespec btime_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> xattrs_ ABSL_GUARDED_BY(mu_);
  size_t xattr_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

// An inode of one of the VFS' kinds with a NodeState behind it.
template <typename Base>
class TmpNode : public Base {
 public:
  template <typename... Args>
  TmpNode(const Ref<TmpFs>& fs, const vfs::NewNode& node, uint32_t links, Args&&... args)
      : Base(fs, std::forward<Args>(args)...), state_(fs, node, links) {}

  NodeState& state() { return state_; }
  const NodeState& state() const { return state_; }

  ErrnoOr<struct statx> GetAttr() override { return state_.Attr(); }
  ErrnoOr<vfs::Ownership> GetOwnership() override { return state_.owner(); }
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override {
    if (change.size) return Errno::kInval;
    state_.Change(change);
    return {};
  }
  ErrnoOr<std::string> GetXattr(const std::string& name) override { return state_.GetXattr(name); }
  ErrnoOrVoid SetXattr(const std::string& name, std::string_view value, int flags) override {
    return state_.SetXattr(name, value, flags);
  }
  ErrnoOrVoid RemoveXattr(const std::string& name) override { return state_.RemoveXattr(name); }
  ErrnoOr<std::vector<std::string>> ListXattr() override { return state_.ListXattr(); }

 private:
  NodeState state_;
};

// The state of any inode that lives on a tmpfs.
NodeState& StateOf(vfs::Inode& inode);

}  // namespace cloister::tmp

#endif  // CLOISTER_SENTRY_FS_TMP_NODE_STATE_H_
