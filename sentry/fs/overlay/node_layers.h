#ifndef CLOISTER_SENTRY_FS_OVERLAY_NODE_LAYERS_H_
#define CLOISTER_SENTRY_FS_OVERLAY_NODE_LAYERS_H_

#include <sys/stat.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/fs/overlay/overlay_super.h"
#include "sentry/vfs/inode.h"

namespace cloister::overlay {

// What stands behind an inode of the overlay: a node of the lower layer, one of the upper, or both
// once the lower one was copied up. Attributes are the upper's if there is one; the data of a
// regular file follow only when they are to be changed (Linux: metacopy). Thread-safe.
class NodeLayers {
 public:
  struct Birth {
    Ref<vfs::Inode> lower;  // one of the two is null
    Ref<vfs::Inode> upper;
    uint64_t number;
    uint32_t links;
    dev_t rdev;
  };

  NodeLayers(vfs::Inode& self, Birth birth);
  ~NodeLayers();

  // Null for what was made in the overlay.
  const Ref<vfs::Inode>& lower() const { return lower_; }
  // Null before the copy.
  vfs::Inode* upper() const { return upper_.load(std::memory_order_acquire); }
  vfs::Inode& current() const { return upper() != nullptr ? *upper() : *lower_; }
  bool data_is_upper() const { return data_is_upper_.load(std::memory_order_acquire); }
  // st_ino: the lower node's, whatever becomes of it.
  uint64_t number() const { return number_; }
  dev_t rdev() const { return rdev_; }

  // The upper node, for a change of attributes.
  ErrnoOr<vfs::Inode*> CopyUp() ABSL_LOCKS_EXCLUDED(copy_mu_);
  // The same with the first `bytes` of a regular file's data.
  ErrnoOr<vfs::Inode*> CopyUpData(uint64_t bytes) ABSL_LOCKS_EXCLUDED(copy_mu_);

  ErrnoOr<struct statx> GetAttr() const;
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change);
  ErrnoOrVoid SetXattr(const std::string& name, std::string_view value, int flags);
  ErrnoOrVoid RemoveXattr(const std::string& name);

  uint32_t links() const ABSL_LOCKS_EXCLUDED(state_mu_);
  // One name more: kNoEnt when the last one is gone already, unless its first may still come.
  ErrnoOrVoid AddName() ABSL_LOCKS_EXCLUDED(state_mu_);
  // One name less; a directory has but one.
  void RemoveName() ABSL_LOCKS_EXCLUDED(state_mu_);
  // The name has become another one.
  void Renamed();
  // A subdirectory came or went.
  void AddSubdirectories(int difference) ABSL_LOCKS_EXCLUDED(state_mu_);
  // For O_TMPFILE: the first name may come later; or not, with O_EXCL.
  void AllowFirstName(bool allow) ABSL_LOCKS_EXCLUDED(state_mu_);

 private:
  OverlayFs& fs() const { return static_cast<OverlayFs&>(self_.fs()); }
  ErrnoOr<vfs::Inode*> CopyUpLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(copy_mu_);
  void StampLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_mu_);

  vfs::Inode& self_;
  const Ref<vfs::Inode> lower_;
  const uint64_t number_;
  const dev_t rdev_;
  std::atomic<vfs::Inode*> upper_;  // one reference; set once
  std::atomic<bool> data_is_upper_;
  absl::Mutex copy_mu_;  // held by who copies

  mutable absl::Mutex state_mu_;
  uint32_t links_ ABSL_GUARDED_BY(state_mu_);
  bool first_name_allowed_ ABSL_GUARDED_BY(state_mu_) = false;
  // The last change of a name, which no layer's node knows of.
  timespec changed_ ABSL_GUARDED_BY(state_mu_) = {};
};

// An inode of one of the VFS' kinds with its layers.
template <typename Base>
class OverlayNode : public Base {
 public:
  // Further arguments are Base's.
  template <typename... Args>
  OverlayNode(const Ref<OverlayFs>& fs, NodeLayers::Birth birth, Args&&... args)
      : Base(fs, std::forward<Args>(args)...), layers_(*this, std::move(birth)) {}

  NodeLayers& layers() { return layers_; }
  const NodeLayers& layers() const { return layers_; }

  ErrnoOr<struct statx> GetAttr() override { return layers_.GetAttr(); }
  ErrnoOr<vfs::Ownership> GetOwnership() override { return layers_.current().GetOwnership(); }
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override { return layers_.SetAttr(change); }
  ErrnoOr<std::string> GetXattr(const std::string& name) override { return layers_.current().GetXattr(name); }
  ErrnoOrVoid SetXattr(const std::string& name, std::string_view value, int flags) override {
    return layers_.SetXattr(name, value, flags);
  }
  ErrnoOrVoid RemoveXattr(const std::string& name) override { return layers_.RemoveXattr(name); }
  ErrnoOr<std::vector<std::string>> ListXattr() override { return layers_.current().ListXattr(); }

 protected:
  ~OverlayNode() override { static_cast<OverlayFs&>(this->fs()).Forget(*this, layers_.lower().get()); }

 private:
  NodeLayers layers_;
};

// The layers of any inode of an overlay.
NodeLayers& LayersOf(vfs::Inode& inode);

}  // namespace cloister::overlay

#endif  // CLOISTER_SENTRY_FS_OVERLAY_NODE_LAYERS_H_
