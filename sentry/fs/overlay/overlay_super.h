#ifndef CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_SUPER_H_
#define CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_SUPER_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/fs/overlay/overlay_fs.h"
#include "sentry/vfs/inode.h"

namespace cloister::overlay {

// An overlay's super block: its layers, and which inode stands for which of the lower layer's.
// Thread-safe.
//
// Lock order of the room:
//   dentries' locks, an open file's position and append locks
//     OverlayDirectory::mu_      (never two at once)
//       NodeLayers::copy_mu_     (held while a file is copied)
//         OverlayOpenFile::upper_mu_
//           locks of the layers' inodes
//           OverlayFs::mu_       (leaf)
//           NodeLayers::state_mu_ (leaf, may be taken below OverlayFs::mu_)
class OverlayFs final : public vfs::FileSystem {
 public:
  OverlayFs(Layer lower, Layer upper) : lower_(std::move(lower)), upper_(std::move(upper)) {}

  std::string_view type() const override { return "overlay"; }
  ErrnoOr<struct statfs> StatFs() override;

  // A node of the upper layer without a name.
  ErrnoOr<Ref<vfs::Inode>> NewUpper(const vfs::NewNode& node);
  ErrnoOr<Ref<vfs::Inode>> NewUpperSymlink(std::string_view target, const vfs::NewNode& owner);
  // The overlay's inode for what has just been made in the upper layer; links: names it gets.
  Ref<vfs::Inode> Adopt(Ref<vfs::Inode> upper, const vfs::NewNode& node, uint32_t links);
  // The overlay's inode for one of the lower layer's: always the same one while it lives, so that
  // the names of a hard-linked file agree.
  ErrnoOr<Ref<vfs::Inode>> Obtain(const Ref<vfs::Inode>& lower) ABSL_LOCKS_EXCLUDED(mu_);
  // The root; once.
  ErrnoOr<Ref<vfs::Inode>> MakeRoot();

  // The inode is no longer what the lower layer says: it must not be forgotten while it has names.
  void Keep(vfs::Inode& node) ABSL_LOCKS_EXCLUDED(mu_);
  // It has no more names.
  void Drop(vfs::Inode& node) ABSL_LOCKS_EXCLUDED(mu_);
  // It is being destroyed.
  void Forget(const vfs::Inode& node, const vfs::Inode* lower) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Known {
    vfs::Inode* node = nullptr;  // holds no reference: one that is being destroyed is not found
    Ref<vfs::Inode> kept;        // the same, where it is kept
  };
  using Nodes = absl::flat_hash_map<const vfs::Inode*, Known>;  // by the lower layer's inode

  std::string NextName();
  // Removes the name by which a node of the upper layer was made.
  ErrnoOr<Ref<vfs::Inode>> Unname(const std::string& name, Ref<vfs::Inode> node);
  Ref<vfs::Inode> FindLocked(const vfs::Inode* lower) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Layer lower_;
  const Layer upper_;
  std::atomic<uint64_t> next_name_{1};
  std::atomic<uint64_t> next_number_{0};
  std::atomic<const vfs::Inode*> root_{nullptr};  // compared only

  absl::Mutex mu_;
  Nodes nodes_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;  // the root is gone: nothing is kept any more
};

}  // namespace cloister::overlay

#endif  // CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_SUPER_H_
