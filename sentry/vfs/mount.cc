#include "sentry/vfs/mount.h"

#include <sys/mount.h>

#include <algorithm>

namespace cloister::vfs {
namespace {

constexpr size_t kMaxMounts = 100000;  // Linux: fs.mount-max

int NextMountId() {
  static std::atomic<int> next{20};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Mount::Mount(Ref<FileSystem> fs, Ref<Dentry> root, uint64_t flags, std::string source)
    : fs_(std::move(fs)),
      root_(std::move(root)),
      id_(NextMountId()),
      source_(std::move(source)),
      flags_(flags) {}

Mount::~Mount() { root_->ForgetTree(); }

bool Mount::read_only() const { return (flags() & MS_RDONLY) != 0 || fs_->read_only(); }

MountNamespace::MountNamespace(Ref<Mount> root) : root_(root) { mounts_.push_back({std::move(root)}); }

MountNamespace::~MountNamespace() {
  for (Placed& placed : mounts_) {
    if (placed.point) placed.point->RemoveMountHere();
  }
}

Ref<Mount> MountNamespace::root() const {
  absl::ReaderMutexLock lock(&mu_);
  return root_;
}

Path MountNamespace::RootPath() const {
  const Ref<Mount> mount = root();
  return CoverOf(Path(mount, mount->root()));
}

MountNamespace::Placed* MountNamespace::FindLocked(const Mount& mount) {
  const auto found = std::find_if(mounts_.begin(), mounts_.end(),
                                  [&](const Placed& placed) { return placed.mount == &mount; });
  return found == mounts_.end() ? nullptr : &*found;
}

const MountNamespace::Placed* MountNamespace::FindLocked(const Mount& mount) const {
  return const_cast<MountNamespace*>(this)->FindLocked(mount);
}

bool MountNamespace::Contains(const Mount& mount) const {
  absl::ReaderMutexLock lock(&mu_);
  return FindLocked(mount) != nullptr;
}

bool MountNamespace::IsMountPoint(const Dentry& dentry) const {
  if (!dentry.mounted_on()) return false;
  absl::ReaderMutexLock lock(&mu_);
  return std::any_of(mounts_.begin(), mounts_.end(),
                     [&](const Placed& placed) { return placed.point == &dentry; });
}

bool MountNamespace::IsUnderLocked(const Mount& mount, const Mount& top) const {
  for (const Placed* at = FindLocked(mount); at != nullptr;
       at = at->parent ? FindLocked(*at->parent) : nullptr) {
    if (at->mount == &top) return true;
  }
  return false;
}

void MountNamespace::CoverLocked(Placed& placed, const Path& at) {
  at.dentry()->AddMountHere();
  placed.parent = at.mount();
  placed.point = at.dentry();
  covers_[{at.mount().get(), at.dentry().get()}] = placed.mount;
}

void MountNamespace::UncoverLocked(Placed& placed) {
  if (!placed.point) return;
  placed.point->RemoveMountHere();
  covers_.erase({placed.parent.get(), placed.point.get()});
  placed.parent.reset();
  placed.point.reset();
}

ErrnoOrVoid MountNamespace::Attach(Ref<Mount> mount, const Path& at) {
  // Somebody may have mounted there since the path was resolved.
  const Path top = CoverOf(at);
  absl::MutexLock lock(&mu_);
  if (FindLocked(*top.mount()) == nullptr) return Errno::kInval;
  if (mounts_.size() >= kMaxMounts) return Errno::kNoSpc;
  if (top.dentry()->deleted()) return Errno::kNoEnt;
  if (covers_.contains({top.mount().get(), top.dentry().get()})) return Errno::kBusy;
  Placed placed{std::move(mount)};
  CoverLocked(placed, top);
  mounts_.push_back(std::move(placed));
  return {};
}

ErrnoOrVoid MountNamespace::Detach(const Path& at, bool lazy) {
  std::vector<Placed> gone;  // destroyed outside the lock
  absl::MutexLock lock(&mu_);
  Placed* const placed = FindLocked(*at.mount());
  if (placed == nullptr || at.dentry() != at.mount()->root() || placed->mount == root_) return Errno::kInval;
  std::vector<const Mount*> under;
  for (const Placed& each : mounts_) {
    if (IsUnderLocked(*each.mount, *at.mount())) under.push_back(each.mount.get());
  }
  // References: the list's, the cover's, and the one of `at`.
  if (!lazy && (under.size() > 1 || at.mount()->ref_count() > 3)) return Errno::kBusy;
  for (const Mount* mount : under) {
    Placed* const each = FindLocked(*mount);
    UncoverLocked(*each);
    gone.push_back(std::move(*each));
    mounts_.erase(mounts_.begin() + (each - mounts_.data()));
  }
  return {};
}

ErrnoOrVoid MountNamespace::Move(const Path& from, const Path& to) {
  const Path top = CoverOf(to);
  absl::MutexLock lock(&mu_);
  Placed* const placed = FindLocked(*from.mount());
  if (placed == nullptr || from.dentry() != from.mount()->root() || placed->mount == root_)
    return Errno::kInval;
  if (FindLocked(*top.mount()) == nullptr) return Errno::kInval;
  if (IsUnderLocked(*top.mount(), *from.mount())) return Errno::kLoop;
  UncoverLocked(*placed);
  CoverLocked(*placed, top);
  return {};
}

ErrnoOrVoid MountNamespace::Pivot(const Path& new_root, const Path& put_old) {
  absl::MutexLock lock(&mu_);
  Placed* const fresh = FindLocked(*new_root.mount());
  Placed* const old = FindLocked(*root_);
  if (fresh == nullptr || old == nullptr || FindLocked(*put_old.mount()) == nullptr) return Errno::kInval;
  if (new_root.dentry() != new_root.mount()->root()) return Errno::kInval;
  if (fresh == old) return Errno::kBusy;
  UncoverLocked(*fresh);
  root_ = fresh->mount;
  CoverLocked(*old, put_old);
  return {};
}

Path MountNamespace::CoverOf(Path path) const {
  if (!path.dentry()->mounted_on()) return path;
  absl::ReaderMutexLock lock(&mu_);
  while (path.dentry()->mounted_on()) {
    const auto found = covers_.find({path.mount().get(), path.dentry().get()});
    if (found == covers_.end()) break;
    path = Path(found->second, found->second->root());
  }
  return path;
}

Path MountNamespace::MountPointOf(const Mount& mount) const {
  absl::ReaderMutexLock lock(&mu_);
  const Placed* const placed = FindLocked(mount);
  return placed == nullptr ? Path() : Path(placed->parent, placed->point);
}

std::vector<MountNamespace::Listed> MountNamespace::List() const {
  absl::ReaderMutexLock lock(&mu_);
  std::vector<Listed> listed;
  listed.reserve(mounts_.size());
  for (const Placed& placed : mounts_) {
    listed.push_back(
        {placed.mount, placed.parent ? placed.parent->id() : 0, Path(placed.parent, placed.point)});
  }
  return listed;
}

Ref<MountNamespace> MountNamespace::Copy() const {
  absl::ReaderMutexLock lock(&mu_);
  absl::flat_hash_map<const Mount*, Ref<Mount>> copies;
  for (const Placed& placed : mounts_) {
    const Mount& mount = *placed.mount;
    copies[&mount] =
        MakeRef<Mount>(Ref<FileSystem>(&mount.fs()), mount.root(), mount.flags(), mount.source());
  }
  Ref<MountNamespace> copy = MakeRef<MountNamespace>(copies[root_.get()]);
  absl::MutexLock copy_lock(&copy->mu_);
  copy->mounts_.clear();
  for (const Placed& placed : mounts_) {
    Placed twin{copies[placed.mount.get()], nullptr, nullptr, placed.mount.get()};
    if (placed.point) copy->CoverLocked(twin, Path(copies[placed.parent.get()], placed.point));
    copy->mounts_.push_back(std::move(twin));
  }
  return copy;
}

Path MountNamespace::Translate(const Path& path) const {
  absl::ReaderMutexLock lock(&mu_);
  for (const Placed& placed : mounts_) {
    if (placed.origin == path.mount().get()) return Path(placed.mount, path.dentry());
  }
  return path;
}

}  // namespace cloister::vfs
