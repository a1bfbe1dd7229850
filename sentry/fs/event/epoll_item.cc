#include "sentry/fs/event/epoll_item.h"

#include <algorithm>
#include <utility>

#include "sentry/fs/event/epoll_core.h"

namespace cloister::event {

EpollItem::EpollItem(Ref<EpollCore> core, int fd, vfs::FileDescription& file, Ref<FileWatchers> watchers)
    : core(std::move(core)), watchers(std::move(watchers)), fd(fd), file(&file) {}

EpollItem::~EpollItem() = default;

void EpollItem::OnEvent(wait::Poll told) { core->Note(*this, told.bits()); }

Ref<FileWatchers> FileWatchers::Of(vfs::FileDescription& file) {
  if (file.release_hook() == nullptr) file.SetReleaseHook(MakeRef<FileWatchers>());
  // Nobody else sets a hook.
  return Ref<FileWatchers>(static_cast<FileWatchers*>(file.release_hook()));
}

void FileWatchers::Attach(EpollItem& item) {
  absl::MutexLock lock(&mu_);
  item.attached = true;
  items_.push_back(Ref<EpollItem>(&item));
  item.file->wait_queue()->Add(item.entry, item, wait::Poll::kAll);
}

void FileWatchers::Detach(EpollItem& item) {
  Ref<EpollItem> dropped;  // outside the lock
  absl::MutexLock lock(&mu_);
  if (!item.attached) return;
  item.attached = false;
  item.file->wait_queue()->Remove(item.entry);
  const auto at = std::find(items_.begin(), items_.end(), &item);
  dropped = std::move(*at);
  items_.erase(at);
}

void FileWatchers::OnRelease() {
  std::vector<Ref<EpollItem>> items;
  {
    absl::MutexLock lock(&mu_);
    items.swap(items_);
    for (const Ref<EpollItem>& item : items) {
      item->attached = false;
      item->file->wait_queue()->Remove(item->entry);
    }
  }
  for (const Ref<EpollItem>& item : items) item->core->Forget(*item);
}

}  // namespace cloister::event
