#include "sentry/fs/overlay/overlay_super.h"

#include <sys/sysmacros.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "sentry/fs/overlay/overlay_directory.h"
#include "sentry/fs/overlay/overlay_file.h"
#include "sentry/fs/overlay/overlay_special.h"

namespace cloister::overlay {
namespace {

using vfs::Inode;

constexpr long kOverlayMagic = 0x794c7630;  // OVERLAYFS_SUPER_MAGIC
// Files that the lower layer does not have are numbered from here on: above what file systems give
// their inodes, below the bits by which a gofer's tree tells host devices apart, and exact in the
// double that JavaScript makes of st_ino.
constexpr uint64_t kFirstOwnNumber = uint64_t{1} << 47;

Ref<Inode> MakeNode(const Ref<OverlayFs>& fs, mode_t type, NodeLayers::Birth birth) {
  switch (type) {
    case S_IFREG:
      return MakeRef<OverlayFile>(fs, std::move(birth));
    case S_IFDIR:
      return MakeRef<OverlayDirectory>(fs, std::move(birth));
    case S_IFLNK:
      return MakeRef<OverlaySymlink>(fs, std::move(birth));
    default:
      return MakeRef<OverlaySpecial>(fs, std::move(birth), type);
  }
}

}  // namespace

ErrnoOr<Layer> Make(Layer lower, Layer upper) {
  if (!lower.root->is_directory() || !upper.root->is_directory()) return Errno::kNotDir;
  if (upper.fs->read_only()) return Errno::kRofs;
  Ref<OverlayFs> fs = MakeRef<OverlayFs>(std::move(lower), std::move(upper));
  Ref<Inode> root = TRY(fs->MakeRoot());
  return Layer{std::move(fs), std::move(root)};
}

ErrnoOr<struct statfs> OverlayFs::StatFs() {
  struct statfs result = TRY(upper_.fs->StatFs());
  // An upper layer without a limit has no figures to show; programs that ask for free space (apt)
  // would take that for none.
  if (result.f_blocks == 0) result = TRY(lower_.fs->StatFs());
  result.f_type = kOverlayMagic;
  result.f_fsid.__val[0] = static_cast<int>(device());
  result.f_fsid.__val[1] = 0;
  return result;
}

std::string OverlayFs::NextName() {
  return absl::StrCat("#", next_name_.fetch_add(1, std::memory_order_relaxed));
}

ErrnoOr<Ref<Inode>> OverlayFs::Unname(const std::string& name, Ref<Inode> node) {
  vfs::DirectoryInode& store = *upper_.root->AsDirectory();
  if (node->is_directory()) {
    TRY_VOID(store.Rmdir(name, *node));
  } else {
    TRY_VOID(store.Unlink(name, *node));
  }
  return node;
}

ErrnoOr<Ref<Inode>> OverlayFs::NewUpper(const vfs::NewNode& node) {
  const std::string name = NextName();
  return Unname(name, TRY(upper_.root->AsDirectory()->Create(name, node)));
}

ErrnoOr<Ref<Inode>> OverlayFs::NewUpperSymlink(std::string_view target, const vfs::NewNode& owner) {
  const std::string name = NextName();
  return Unname(name, TRY(upper_.root->AsDirectory()->Symlink(name, target, owner)));
}

Ref<Inode> OverlayFs::Adopt(Ref<Inode> upper, const vfs::NewNode& node, uint32_t links) {
  const uint64_t number = kFirstOwnNumber + next_number_.fetch_add(1, std::memory_order_relaxed);
  const mode_t type = upper->type();
  return MakeNode(Ref<OverlayFs>(this), type, {nullptr, std::move(upper), number, links, node.rdev});
}

Ref<Inode> OverlayFs::FindLocked(const Inode* lower) {
  const auto found = nodes_.find(lower);
  if (found == nodes_.end() || !found->second.node->TryIncRef()) return nullptr;
  return Ref<Inode>::Adopt(found->second.node);
}

ErrnoOr<Ref<Inode>> OverlayFs::Obtain(const Ref<Inode>& lower) {
  {
    absl::MutexLock lock(&mu_);
    if (Ref<Inode> known = FindLocked(lower.get())) return known;
  }
  const struct statx attr = TRY(lower->GetAttr());
  const dev_t rdev = makedev(attr.stx_rdev_major, attr.stx_rdev_minor);
  Ref<Inode> made =
      MakeNode(Ref<OverlayFs>(this), lower->type(), {lower, nullptr, attr.stx_ino, attr.stx_nlink, rdev});
  Ref<Inode> known;
  {
    absl::MutexLock lock(&mu_);
    known = FindLocked(lower.get());
    if (!known) nodes_[lower.get()] = Known{made.get(), nullptr};
  }
  return known ? known : made;
}

ErrnoOr<Ref<Inode>> OverlayFs::MakeRoot() {
  Ref<Inode> root = TRY(Obtain(lower_.root));
  root_.store(root.get(), std::memory_order_relaxed);
  return root;
}

void OverlayFs::Keep(Inode& node) {
  const Inode* const lower = LayersOf(node).lower().get();
  // The root keeps all others and is kept by its mount.
  if (lower == nullptr || &node == root_.load(std::memory_order_relaxed)) return;
  absl::MutexLock lock(&mu_);
  const auto found = nodes_.find(lower);
  if (closed_ || found == nodes_.end() || found->second.kept || LayersOf(node).links() == 0) return;
  found->second.kept = Ref<Inode>(&node);
}

void OverlayFs::Drop(Inode& node) {
  Ref<Inode> kept;  // released behind the lock
  const Inode* const lower = LayersOf(node).lower().get();
  if (lower == nullptr) return;
  absl::MutexLock lock(&mu_);
  const auto found = nodes_.find(lower);
  if (found != nodes_.end()) std::swap(kept, found->second.kept);
}

void OverlayFs::Forget(const Inode& node, const Inode* lower) {
  std::vector<Ref<Inode>> kept;
  absl::MutexLock lock(&mu_);
  if (&node == root_.load(std::memory_order_relaxed)) {
    closed_ = true;
    for (auto& [key, known] : nodes_) {
      if (known.kept) kept.push_back(std::move(known.kept));
    }
  }
  const auto found = nodes_.find(lower);
  if (found != nodes_.end() && found->second.node == &node) nodes_.erase(found);
}

}  // namespace cloister::overlay
