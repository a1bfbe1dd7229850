#include "sentry/vfs/dentry.h"

#include <utility>

#include "sentry/vfs/file_events.h"
#include "sentry/vfs/flat_delete.h"

namespace cloister::vfs {
namespace {

// Dentries alive, and the number at which a tree is next swept of those that nobody uses. After a
// sweep the mark is twice what was left, so that sweeping costs a constant per new dentry.
constexpr int64_t kSweepAtLeast = 32 * 1024;
std::atomic<int64_t> g_dentries{0};
std::atomic<int64_t> g_sweep_at{kSweepAtLeast};

bool NeedsRevalidation(const Ref<Inode>& inode) {
  if (!inode || !inode->is_directory()) return false;
  return inode->AsDirectory()->cache() == DirectoryInode::Cache::kRevalidate;
}

}  // namespace

Dentry::Dentry(Ref<Dentry> parent, std::string_view name, Ref<Inode> inode)
    : inode_(std::move(inode)),
      revalidate_(NeedsRevalidation(inode_)),
      parent_(std::move(parent)),
      name_(name) {
  g_dentries.fetch_add(1, std::memory_order_relaxed);
}

Dentry::~Dentry() { g_dentries.fetch_sub(1, std::memory_order_relaxed); }

void Dentry::OnLastRef() {
  if (deleted() && inode_) FileEvents::TellDropped(*inode_);  // Linux: dentry_unlink_inode
  FlatDelete::Run([](void* dentry) { delete static_cast<Dentry*>(dentry); }, this);
}

Ref<Dentry> Dentry::MakeRoot(Ref<Inode> inode) { return MakeRef<Dentry>(nullptr, "", std::move(inode)); }

Ref<Dentry> Dentry::MakeUnnamed(Ref<Dentry> parent, std::string_view name, Ref<Inode> inode) {
  Ref<Dentry> dentry = MakeRef<Dentry>(std::move(parent), name, std::move(inode));
  dentry->deleted_.store(true, std::memory_order_release);
  return dentry;
}

absl::Mutex& Dentry::rename_mutex() {
  static absl::Mutex* const mutex = new absl::Mutex;
  return *mutex;
}

Ref<Dentry> Dentry::FindFreshLocked(std::string_view name) const {
  if (revalidate_) return nullptr;
  const auto found = children_.find(name);
  return found == children_.end() ? nullptr : found->second;
}

ErrnoOr<Ref<Dentry>> Dentry::Child(std::string_view name) {
  {
    absl::ReaderMutexLock lock(&mu_);
    if (Ref<Dentry> child = FindFreshLocked(name)) return child;
  }
  Ref<Dentry> child, before;
  {
    absl::MutexLock lock(&mu_);
    if (const auto cached = children_.find(name); cached != children_.end()) before = cached->second;
    child = TRY(ChildLocked(name));
  }
  if (before && before->deleted()) before->ForgetOrphans();
  if (g_dentries.load(std::memory_order_relaxed) > g_sweep_at.load(std::memory_order_relaxed)) {
    ForgetTree();
    const int64_t left = g_dentries.load(std::memory_order_relaxed);
    g_sweep_at.store(std::max(kSweepAtLeast, 2 * left), std::memory_order_relaxed);
  }
  return child;
}

Ref<Dentry> Dentry::CachedChild(std::string_view name) {
  absl::ReaderMutexLock lock(&mu_);
  const auto found = children_.find(name);
  return found == children_.end() ? nullptr : found->second;
}

ErrnoOr<Ref<Dentry>> Dentry::ChildLocked(std::string_view name) {
  if (Ref<Dentry> child = FindFreshLocked(name)) return child;
  DirectoryInode* const directory = inode_ ? inode_->AsDirectory() : nullptr;
  if (directory == nullptr) return Errno::kNotDir;
  if (deleted()) return MakeRef<Dentry>(Ref<Dentry>(this), name, nullptr);

  const auto cached = children_.find(name);
  const bool known = cached != children_.end();
  // What a mount covers stays, whatever became of the directory beneath.
  if (known && cached->second->mounted_on()) return cached->second;
  const Ref<Inode> before = known ? cached->second->inode() : nullptr;
  ErrnoOr<Ref<Inode>> found = known ? directory->Revalidate(name, before) : directory->Lookup(name);
  if (!found.ok()) {
    if (found.error() != Errno::kNoEnt) return found.error();
    found = Ref<Inode>();
  }
  if (known && *found == before) return cached->second;
  if (known && before) MarkDeleted(*cached->second);
  return SetChildLocked(name, *std::move(found));
}

Ref<Dentry> Dentry::SetChildLocked(std::string_view name, Ref<Inode> inode) {
  Ref<Dentry> child = MakeRef<Dentry>(Ref<Dentry>(this), name, std::move(inode));
  children_.insert_or_assign(std::string(name), child);
  return child;
}

void Dentry::MarkDeleted(const Dentry& child) {
  const_cast<Dentry&>(child).deleted_.store(true, std::memory_order_release);
}

void Dentry::DropChildLocked(std::string_view name) {
  const auto found = children_.find(name);
  if (found == children_.end()) return;
  MarkDeleted(*found->second);
  children_.erase(found);
}

void Dentry::AdoptLocked(Ref<Dentry> child, std::string_view name) {
  if (child->parent_ != this) child->parent_ = Ref<Dentry>(this);
  child->name_ = name;
  children_.insert_or_assign(std::string(name), std::move(child));
}

// Not analysed, as the next one: from and to may be one directory with one lock.
void Dentry::MoveLocked(Dentry& from, std::string_view name, Dentry& to,
                        std::string_view new_name) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const auto found = from.children_.find(name);
  if (found == from.children_.end()) {
    to.children_.erase(new_name);
    return;
  }
  Ref<Dentry> child = std::move(found->second);
  from.children_.erase(found);
  to.DropChildLocked(new_name);
  to.AdoptLocked(std::move(child), new_name);
}

void Dentry::ExchangeLocked(Dentry& one, std::string_view name, Dentry& other,
                            std::string_view other_name) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const auto first = one.children_.find(name);
  const auto second = other.children_.find(other_name);
  if (first == one.children_.end() || second == other.children_.end()) {
    one.children_.erase(name);
    other.children_.erase(other_name);
    return;
  }
  Ref<Dentry> moved = first->second;
  Ref<Dentry> other_moved = second->second;
  one.AdoptLocked(std::move(other_moved), name);
  other.AdoptLocked(std::move(moved), other_name);
}

bool Dentry::IsAtOrBelow(const Dentry& ancestor) const {
  for (const Dentry* at = this; at != nullptr; at = at->parent_.get()) {
    if (at == &ancestor) return true;
  }
  return false;
}

std::vector<Ref<Dentry>> Dentry::DirectoriesBelow() {
  std::vector<Ref<Dentry>> directories = {Ref<Dentry>(this)};
  for (size_t i = 0; i < directories.size(); ++i) {
    const Ref<Dentry> directory = directories[i];
    absl::ReaderMutexLock lock(&directory->mu_);
    for (const auto& [name, child] : directory->children_) {
      if (child->inode_ && child->inode_->is_directory()) directories.push_back(child);
    }
  }
  return directories;
}

void Dentry::DropUnusedChildren() {
  std::vector<Ref<Dentry>> dropped;  // destroyed outside the lock
  absl::MutexLock lock(&mu_);
  for (auto it = children_.begin(); it != children_.end();) {
    // The cache has the only reference, and new ones come from the cache or from a child alone.
    if (it->second->ref_count() == 1) {
      dropped.push_back(std::move(it->second));
      children_.erase(it++);
    } else {
      ++it;
    }
  }
}

void Dentry::ForgetOrphans() {
  for (const Ref<Dentry>& directory : DirectoriesBelow()) {
    Children dropped;  // destroyed outside the lock
    absl::MutexLock lock(&directory->mu_);
    dropped.swap(directory->children_);
  }
}

void Dentry::ForgetChildren() {
  // From the leaves up; each directory's own reference in the list goes before its parent looks at it.
  std::vector<Ref<Dentry>> directories = DirectoriesBelow();
  while (!directories.empty()) {
    directories.back()->DropUnusedChildren();
    directories.pop_back();
  }
}

void Dentry::ForgetTree() {
  Ref<Dentry> top(this);
  {
    absl::ReaderMutexLock lock(&rename_mutex());
    while (top->parent_) top = top->parent_;
  }
  top->ForgetChildren();
}

}  // namespace cloister::vfs
