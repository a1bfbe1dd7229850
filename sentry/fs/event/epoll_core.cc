#include "sentry/fs/event/epoll_core.h"

#include <algorithm>

#include "sentry/fs/event/epoll_file.h"

namespace cloister::event {
namespace {

using vfs::FileDescription;
using wait::Poll;

constexpr uint32_t kPrivate = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
// What may stand beside EPOLLEXCLUSIVE.
constexpr uint32_t kExclusiveOk =
    EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
constexpr int kMaxLevels = 5;  // Linux: EP_MAX_NESTS and the innermost

}  // namespace

absl::Mutex& EpollCore::NestMutex() {
  static absl::Mutex* const mutex = new absl::Mutex;
  return *mutex;
}

Ref<EpollItem> EpollCore::FindLocked(int fd, const FileDescription& file) {
  const auto it = items_.find(Key(fd, &file));
  return it == items_.end() ? nullptr : it->second;
}

void EpollCore::SetEventLocked(EpollItem& item, const epoll_event& event) {
  item.events = (event.events & ~kPrivate) | EPOLLERR | EPOLLHUP;
  item.flags = event.events & kPrivate;
  item.data = event.data.u64;
}

ErrnoOrVoid EpollCore::Add(int fd, FileDescription& file, const epoll_event& event) {
  if (file.wait_queue() == nullptr) return Errno::kPerm;
  EpollFile* const inner = file.AsEpoll();
  if (event.events & EPOLLEXCLUSIVE) {
    if ((event.events & ~kExclusiveOk) || inner != nullptr) return Errno::kInval;
  }
  if (inner == nullptr) return AddItem(fd, file, event);
  absl::MutexLock nest(&NestMutex());
  TRY_VOID(CheckNesting(inner->core()));
  return AddItem(fd, file, event);
}

ErrnoOrVoid EpollCore::AddItem(int fd, FileDescription& file, const epoll_event& event) {
  auto item = MakeRef<EpollItem>(Ref<EpollCore>(this), fd, file, FileWatchers::Of(file));
  absl::MutexLock scan(&scan_mu_);
  {
    absl::MutexLock lock(&mu_);
    if (!items_.try_emplace(Key(fd, &file), item).second) return Errno::kExist;
    if (file.AsEpoll() != nullptr) inner_.insert(item.get());
    SetEventLocked(*item, event);
  }
  item->watchers->Attach(*item);
  NoteIfReady(*item, file);
  return {};
}

ErrnoOrVoid EpollCore::Modify(int fd, FileDescription& file, const epoll_event& event) {
  if (event.events & EPOLLEXCLUSIVE) return Errno::kInval;
  Ref<EpollItem> item;
  absl::MutexLock scan(&scan_mu_);
  {
    absl::MutexLock lock(&mu_);
    item = FindLocked(fd, file);
    if (!item) return Errno::kNoEnt;
    if (item->flags & EPOLLEXCLUSIVE) return Errno::kInval;
    SetEventLocked(*item, event);
  }
  NoteIfReady(*item, file);
  return {};
}

ErrnoOrVoid EpollCore::Remove(int fd, FileDescription& file) {
  Ref<EpollItem> item;
  absl::MutexLock scan(&scan_mu_);
  {
    absl::MutexLock lock(&mu_);
    item = FindLocked(fd, file);
    if (!item || !DropLocked(*item)) return Errno::kNoEnt;
  }
  item->watchers->Detach(*item);
  return {};
}

// Takes item out of the table and the ready list; false if it was not there. The caller holds a reference.
bool EpollCore::DropLocked(EpollItem& item) {
  if (item.dead) return false;
  item.dead = true;
  if (item.queued) UnlinkLocked(item);
  inner_.erase(&item);
  items_.erase(Key(item.fd, item.file));
  return true;
}

void EpollCore::Forget(EpollItem& item) {
  const Ref<EpollItem> keep(&item);
  absl::MutexLock lock(&mu_);
  DropLocked(item);
}

void EpollCore::Clear() {
  absl::flat_hash_map<Key, Ref<EpollItem>> items;
  {
    absl::MutexLock lock(&mu_);
    items.swap(items_);
    inner_.clear();
    first_ = last_ = nullptr;
    for (const auto& [key, item] : items) {
      item->dead = true;
      item->queued = false;
    }
  }
  for (const auto& [key, item] : items) item->watchers->Detach(*item);
}

void EpollCore::PushLocked(EpollItem& item) {
  if (item.queued || item.dead) return;
  item.queued = true;
  item.previous = last_;
  item.next = nullptr;
  (last_ != nullptr ? last_->next : first_) = &item;
  last_ = &item;
}

void EpollCore::UnlinkLocked(EpollItem& item) {
  (item.previous != nullptr ? item.previous->next : first_) = item.next;
  (item.next != nullptr ? item.next->previous : last_) = item.previous;
  item.previous = item.next = nullptr;
  item.queued = false;
}

void EpollCore::Note(EpollItem& item, uint32_t events) {
  {
    absl::MutexLock lock(&mu_);
    if (item.dead || !(events & item.events)) return;
    if (item.scanned) {
      item.again = true;
    } else {
      PushLocked(item);
    }
  }
  queue_.Notify(Poll::kIn);
}

void EpollCore::NoteIfReady(EpollItem& item, const FileDescription& file) { Note(item, file.Ready().bits()); }

// The first item of the ready list with its file; false when the list is empty.
bool EpollCore::TakeFirst(Found* found) {
  absl::MutexLock lock(&mu_);
  while (first_ != nullptr) {
    EpollItem& item = *first_;
    UnlinkLocked(item);
    // A file whose last reference is gone removes its item in a moment.
    if (!item.file->TryIncRef()) continue;
    found->file = Ref<FileDescription>::Adopt(item.file);
    found->item = Ref<EpollItem>(&item);
    item.scanned = true;
    item.again = false;
    found->events = item.events;
    return true;
  }
  return false;
}

std::vector<EpollCore::Found> EpollCore::Scan(size_t max) {
  std::vector<Found> all;
  size_t ready = 0;
  for (Found found; ready < max && TakeFirst(&found); found = Found()) {
    found.events &= found.file->Ready().bits();
    if (found.events != 0) ++ready;
    all.push_back(std::move(found));
  }
  return all;
}

void EpollCore::FinishScan(std::span<const Found> scanned, bool delivered) {
  absl::MutexLock lock(&mu_);
  for (const Found& found : scanned) {
    EpollItem& item = *found.item;
    item.scanned = false;
    const bool reported = found.events != 0 && delivered;
    if (reported && (item.flags & EPOLLONESHOT)) item.events = 0;
    const bool stays = found.events != 0 && (!delivered || !(item.flags & (EPOLLET | EPOLLONESHOT)));
    if (stays || (item.again && item.events != 0)) PushLocked(item);
  }
}

ErrnoOr<size_t> EpollCore::Collect(size_t max, Deliver deliver) {
  std::vector<Found> scanned;  // dropped after the lock: a file may go with it
  absl::MutexLock scan(&scan_mu_);
  scanned = Scan(max);
  std::vector<epoll_event> events;
  for (const Found& found : scanned) {
    if (found.events == 0) continue;
    epoll_event event = {};
    event.events = found.events;
    event.data.u64 = found.item->data;  // changes under scan_mu_ only
    events.push_back(event);
  }
  const ErrnoOrVoid delivered = events.empty() ? Ok() : deliver(events);
  FinishScan(scanned, delivered.ok());
  if (!delivered.ok()) return delivered.error();
  return events.size();
}

bool EpollCore::AnyReady() {
  std::vector<Found> scanned;
  absl::MutexLock scan(&scan_mu_);
  scanned = Scan(1);
  FinishScan(scanned, false);
  return !scanned.empty() && scanned.back().events != 0;
}

std::vector<Ref<EpollCore>> EpollCore::InnerCores() {
  std::vector<Ref<EpollCore>> cores;
  std::vector<Ref<FileDescription>> files;  // dropped after the lock
  absl::MutexLock lock(&mu_);
  for (EpollItem* item : inner_) {
    if (!item->file->TryIncRef()) continue;
    files.push_back(Ref<FileDescription>::Adopt(item->file));
    cores.push_back(Ref<EpollCore>(&item->file->AsEpoll()->core()));
  }
  return cores;
}

int EpollCore::DepthBelow(const EpollCore& ring, absl::flat_hash_map<const EpollCore*, int>* seen,
                          int limit) {
  if (this == &ring || limit == 0) return kMaxLevels + 1;
  if (const auto known = seen->find(this); known != seen->end()) return known->second;
  int depth = 1;
  for (const Ref<EpollCore>& core : InnerCores()) {
    depth = std::max(depth, 1 + core->DepthBelow(ring, seen, limit - 1));
    if (depth > kMaxLevels) break;
  }
  (*seen)[this] = depth;
  return depth;
}

// Notes that there are `level` instances above this one.
void EpollCore::RaiseLevel(int level) {
  if (level <= level_) return;
  level_ = level;
  for (const Ref<EpollCore>& core : InnerCores()) core->RaiseLevel(level + 1);
}

ErrnoOrVoid EpollCore::CheckNesting(EpollCore& inner) {
  absl::flat_hash_map<const EpollCore*, int> seen;
  const int below = inner.DepthBelow(*this, &seen, kMaxLevels);
  if (level_ + 1 + below > kMaxLevels) return Errno::kLoop;
  inner.RaiseLevel(level_ + 1);
  return {};
}

}  // namespace cloister::event
