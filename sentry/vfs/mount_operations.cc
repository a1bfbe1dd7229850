#include "sentry/vfs/mount_operations.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "sentry/vfs/dentry.h"

namespace cloister::vfs {
namespace {

using Listed = MountNamespace::Listed;

// Linux: namespace_sem. Above every lock of the VFS.
absl::Mutex& ChangeMutex() {
  static absl::Mutex* const mutex = new absl::Mutex;
  return *mutex;
}

bool IsMountRoot(const Path& path) { return path.dentry() == path.mount()->root(); }
bool IsDirectory(const Dentry& dentry) { return dentry.inode()->is_directory(); }

ErrnoOrVoid CheckHere(const Caller& caller, const Path& path) {
  return caller.mounts->Contains(*path.mount()) ? Ok() : Errno::kInval;
}

// What is mounted at or below `top`, seen through its mount: parents before children. skip: those with one of
// these flags are left out with all that is below them.
std::vector<Listed> MountsBelow(const MountNamespace& ns, const Path& top, uint64_t skip) {
  std::multimap<int, Listed> by_parent;
  for (Listed& listed : ns.List()) {
    const int parent = listed.parent_id;
    if (listed.mount_point) by_parent.emplace(parent, std::move(listed));
  }
  std::vector<Listed> found;
  const auto add = [&](int parent, const Path* within) {
    const auto [begin, end] = by_parent.equal_range(parent);
    for (auto child = begin; child != end; ++child) {
      if ((child->second.mount->flags() & skip) != 0) continue;
      if (within == nullptr || IsBelow(ns, child->second.mount_point, *within))
        found.push_back(child->second);
    }
  };
  add(top.mount()->id(), &top);
  for (size_t i = 0; i < found.size(); ++i) add(found[i].mount->id(), nullptr);
  return found;
}

Ref<Mount> CloneOf(const Mount& mount, const Ref<Dentry>& root) {
  return MakeRef<Mount>(Ref<FileSystem>(&mount.fs()), root, mount.flags(), mount.source());
}

}  // namespace

ErrnoOrVoid AddMount(const Caller& caller, Ref<Mount> mount, const Path& at) {
  absl::MutexLock lock(&ChangeMutex());
  TRY_VOID(CheckHere(caller, at));
  const Path top = caller.mounts->CoverOf(at);
  if (IsMountRoot(top) && &top.mount()->fs() == &mount->fs()) return Errno::kBusy;
  if (IsDirectory(*top.dentry()) != IsDirectory(*mount->root())) return Errno::kNotDir;
  return caller.mounts->Attach(std::move(mount), top);
}

ErrnoOrVoid BindMount(const Caller& caller, const Path& from, const Path& to, bool recursive) {
  absl::MutexLock lock(&ChangeMutex());
  TRY_VOID(CheckHere(caller, from));
  TRY_VOID(CheckHere(caller, to));
  if ((from.mount()->flags() & MS_UNBINDABLE) != 0) return Errno::kInval;
  if (IsDirectory(*from.dentry()) != IsDirectory(*to.dentry())) return Errno::kNotDir;
  std::vector<Listed> below;
  if (recursive) below = MountsBelow(*caller.mounts, from, MS_UNBINDABLE);
  const Ref<Mount> top = CloneOf(*from.mount(), from.dentry());
  TRY_VOID(caller.mounts->Attach(top, to));
  absl::flat_hash_map<int, Ref<Mount>> clones = {{from.mount()->id(), top}};
  for (const Listed& listed : below) {
    Ref<Mount> clone = CloneOf(*listed.mount, listed.mount->root());
    clones[listed.mount->id()] = clone;
    const ErrnoOrVoid attached =
        caller.mounts->Attach(std::move(clone), Path(clones[listed.parent_id], listed.mount_point.dentry()));
    if (attached.ok() || attached.error() == Errno::kNoEnt) continue;  // its place was removed just now
    static_cast<void>(caller.mounts->Detach(Path(top, top->root()), true));
    return attached;
  }
  return {};
}

ErrnoOrVoid MoveMount(const Caller& caller, const Path& from, const Path& to) {
  absl::MutexLock lock(&ChangeMutex());
  TRY_VOID(CheckHere(caller, from));
  TRY_VOID(CheckHere(caller, to));
  if (!IsMountRoot(from)) return Errno::kInval;
  if (IsDirectory(*from.dentry()) != IsDirectory(*to.dentry())) return Errno::kInval;
  return caller.mounts->Move(from, to);
}

ErrnoOrVoid ChangeMountFlags(const Caller& caller, const Path& at, uint64_t flags) {
  absl::MutexLock lock(&ChangeMutex());
  TRY_VOID(CheckHere(caller, at));
  if (!IsMountRoot(at)) return Errno::kInval;
  const uint64_t old = at.mount()->flags();
  uint64_t kept = MS_UNBINDABLE;
  if ((flags & kAtimeFlags) == 0) kept |= kAtimeFlags;
  at.mount()->set_flags((flags & kMountFlags) | (old & kept));
  return {};
}

ErrnoOrVoid ChangePropagation(const Caller& caller, const Path& at, uint64_t type, bool recursive) {
  absl::MutexLock lock(&ChangeMutex());
  TRY_VOID(CheckHere(caller, at));
  if (!IsMountRoot(at)) return Errno::kInval;
  std::vector<Listed> changed;
  if (recursive) changed = MountsBelow(*caller.mounts, at, 0);
  changed.push_back({at.mount(), 0, {}});
  for (const Listed& listed : changed) {
    const uint64_t old = listed.mount->flags() & ~uint64_t{MS_UNBINDABLE};
    listed.mount->set_flags(old | (type & MS_UNBINDABLE));
  }
  return {};
}

ErrnoOrVoid Unmount(const Caller& caller, Path at, bool lazy) {
  absl::MutexLock lock(&ChangeMutex());
  at = caller.mounts->CoverOf(std::move(at));
  if (!IsMountRoot(at)) return Errno::kInval;
  TRY_VOID(CheckHere(caller, at));
  // Linux makes the root read-only instead; here it is in use.
  if (!lazy && at.mount() == caller.root.mount()) return Errno::kBusy;
  return caller.mounts->Detach(at, lazy);
}

ErrnoOrVoid PivotRoot(const Caller& caller, const Path& new_root, const Path& put_old) {
  absl::MutexLock lock(&ChangeMutex());
  MountNamespace& ns = *caller.mounts;
  TRY_VOID(CheckHere(caller, new_root));
  TRY_VOID(CheckHere(caller, caller.root));
  const Path old = ns.CoverOf(put_old);
  if (new_root.dentry()->deleted()) return Errno::kNoEnt;
  if (new_root.mount() == caller.root.mount() || old.mount() == caller.root.mount()) return Errno::kBusy;
  // The root of a task that chrooted elsewhere is no mount that could be exchanged.
  if (caller.root.mount() != ns.root() || !IsMountRoot(caller.root)) return Errno::kInval;
  if (!IsMountRoot(new_root) || !ns.MountPointOf(*new_root.mount())) return Errno::kInval;
  if (!IsBelow(ns, old, new_root) || !IsBelow(ns, new_root, caller.root)) return Errno::kInval;
  return ns.Pivot(new_root, old);
}

}  // namespace cloister::vfs
