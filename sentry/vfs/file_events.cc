#include "sentry/vfs/file_events.h"

#include <algorithm>
#include <utility>

#include "sentry/vfs/dentry.h"

namespace cloister::vfs {

FileEvents& FileEvents::Get() {
  static FileEvents* const events = new FileEvents;
  return *events;
}

void FileEvents::Add(Ref<Inode> inode, Ref<FileWatch> watch) {
  absl::MutexLock lock(&mu_);
  Watched& watched = watched_[inode.get()];
  watched.inode = std::move(inode);
  watched.watches.push_back(std::move(watch));
  watch_count_.fetch_add(1, std::memory_order_relaxed);
}

void FileEvents::Remove(const Inode& inode, const FileWatch& watch) {
  Ref<Inode> last_inode;  // released after the lock
  Ref<FileWatch> last_watch;
  absl::MutexLock lock(&mu_);
  const auto found = watched_.find(&inode);
  if (found == watched_.end()) return;
  auto& watches = found->second.watches;
  const auto at = std::find_if(watches.begin(), watches.end(),
                               [&](const Ref<FileWatch>& each) { return each.get() == &watch; });
  if (at == watches.end()) return;
  last_watch = std::move(*at);
  watches.erase(at);
  watch_count_.fetch_sub(1, std::memory_order_relaxed);
  if (!watches.empty()) return;
  last_inode = std::move(found->second.inode);
  watched_.erase(found);
}

void FileEvents::Send(const Inode& inode, const FileEvent& event) {
  std::vector<Ref<FileWatch>> watches;
  {
    absl::MutexLock lock(&mu_);
    const auto found = watched_.find(&inode);
    if (found == watched_.end()) return;
    watches = found->second.watches;
  }
  for (const Ref<FileWatch>& watch : watches) watch->OnFileEvent(event);
}

void FileEvents::SendPath(const Path& path, uint32_t mask) {
  const Ref<Inode>& inode = path.dentry()->inode();
  if (!inode) return;
  Ref<Dentry> directory;
  std::string name;
  {
    absl::ReaderMutexLock lock(&Dentry::rename_mutex());
    directory = path.dentry()->parent();
    if (directory) name = path.dentry()->name();
  }
  mask |= DirectoryBit(*inode);
  if (directory && directory->inode()) {
    Send(*directory->inode(), {mask, name, 0, path.dentry()->deleted()});
  }
  Send(*inode, {mask});
}

void FileEvents::SendDropped(Inode& inode) {
  {
    absl::MutexLock lock(&mu_);
    if (!watched_.contains(&inode)) return;
  }
  const Ref<Inode> keep(&inode);
  const ErrnoOr<struct statx> attr = inode.GetAttr();
  if (!inode.is_directory() && attr.ok() && attr->stx_nlink > 0) return;
  Send(inode, {IN_DELETE_SELF});
  Send(inode, {IN_IGNORED});
}

}  // namespace cloister::vfs
