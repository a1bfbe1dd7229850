#include "sentry/fs/event/inotify_file.h"

#include <sys/ioctl.h>

#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "sentry/wait/parker.h"

namespace cloister::event {
namespace {

constexpr size_t kMaxEvents = 16384;   // fs.inotify.max_queued_events
constexpr size_t kMaxWatches = 65536;  // fs.inotify.max_user_watches, here of one instance
constexpr uint32_t kOptions = IN_EXCL_UNLINK | IN_ONESHOT;

// The name with NULs behind it, so that the next event is aligned.
std::string Padded(std::string_view name) {
  std::string text(name);
  if (!name.empty()) text.resize((name.size() / sizeof(inotify_event) + 1) * sizeof(inotify_event));
  return text;
}

}  // namespace

// One inode that an instance watches. Linux: struct inotify_inode_mark.
class InotifyWatch final : public vfs::FileWatch {
 public:
  InotifyWatch(Ref<InotifyCore> core, Ref<vfs::Inode> inode, int wd, uint32_t mask)
      : core(std::move(core)), inode(std::move(inode)), wd(wd), mask(mask) {}
  void OnFileEvent(const vfs::FileEvent& event) override { core->Note(*this, event); }

  const Ref<InotifyCore> core;
  const Ref<vfs::Inode> inode;
  const int wd;
  uint32_t mask;  // the core's lock
};

InotifyCore::InotifyCore() = default;
InotifyCore::~InotifyCore() = default;

ErrnoOr<int> InotifyCore::Watch(Ref<vfs::Inode> inode, uint32_t mask) {
  const uint32_t wanted = mask & (IN_ALL_EVENTS | kOptions);
  Ref<InotifyWatch> added;
  {
    absl::MutexLock lock(&mu_);
    if (const auto found = by_inode_.find(inode.get()); found != by_inode_.end()) {
      if ((mask & IN_MASK_CREATE) != 0) return Errno::kExist;
      uint32_t& old = watches_[found->second]->mask;
      old = (mask & IN_MASK_ADD) != 0 ? old | wanted : wanted;
      return found->second;
    }
    if (watches_.size() >= kMaxWatches || last_wd_ == std::numeric_limits<int>::max()) return Errno::kNoSpc;
    added = MakeRef<InotifyWatch>(Ref<InotifyCore>(this), inode, ++last_wd_, wanted);
    watches_[added->wd] = added;
    by_inode_[inode.get()] = added->wd;
  }
  vfs::FileEvents::Get().Add(inode, added);
  return added->wd;
}

Ref<InotifyWatch> InotifyCore::DropLocked(int wd) {
  const auto found = watches_.find(wd);
  if (found == watches_.end()) return nullptr;
  Ref<InotifyWatch> watch = std::move(found->second);
  by_inode_.erase(watch->inode.get());
  watches_.erase(found);
  PushLocked(wd, IN_IGNORED, 0, "");
  return watch;
}

ErrnoOrVoid InotifyCore::Unwatch(int wd) {
  Ref<InotifyWatch> dropped;
  {
    absl::MutexLock lock(&mu_);
    dropped = DropLocked(wd);
  }
  if (!dropped) return Errno::kInval;
  vfs::FileEvents::Get().Remove(*dropped->inode, *dropped);
  return {};
}

void InotifyCore::Clear() {
  std::map<int, Ref<InotifyWatch>> watches;
  {
    absl::MutexLock lock(&mu_);
    watches.swap(watches_);
    by_inode_.clear();
    events_.clear();
    bytes_ = 0;
  }
  for (const auto& [wd, watch] : watches) vfs::FileEvents::Get().Remove(*watch->inode, *watch);
}

void InotifyCore::Note(const InotifyWatch& watch, const vfs::FileEvent& event) {
  Ref<InotifyWatch> dropped;
  {
    absl::MutexLock lock(&mu_);
    const auto found = watches_.find(watch.wd);
    if (found == watches_.end() || found->second.get() != &watch) return;
    if (event.mask & IN_IGNORED) {
      dropped = DropLocked(watch.wd);
    } else {
      if ((event.mask & watch.mask & IN_ALL_EVENTS) == 0) return;
      if (event.unlinked && (watch.mask & IN_EXCL_UNLINK) != 0) return;
      // As Linux: what happens to the watched one itself does not say that it is a directory.
      const bool self = (event.mask & (IN_MOVE_SELF | IN_DELETE_SELF)) != 0;
      PushLocked(watch.wd, self ? event.mask & ~uint32_t{IN_ISDIR} : event.mask, event.cookie, event.name);
      if ((watch.mask & IN_ONESHOT) != 0) dropped = DropLocked(watch.wd);
    }
  }
  if (dropped) vfs::FileEvents::Get().Remove(*dropped->inode, *dropped);
}

void InotifyCore::PushLocked(int wd, uint32_t mask, uint32_t cookie, std::string_view name) {
  Event event = {wd, mask, cookie, Padded(name)};
  if (events_.size() >= kMaxEvents) event = {-1, IN_Q_OVERFLOW, 0, ""};
  if (!events_.empty() && events_.back() == event) return;  // inotify(7): merged
  bytes_ += SizeOf(event);
  events_.push_back(std::move(event));
  wait::WakeScope::NotifyLater(Ref<RefCounted>(this), queue_, Poll::kIn);
}

ErrnoOr<size_t> InotifyCore::Read(UserBuffer& dst) {
  size_t total = 0;
  for (;;) {
    std::string bytes;
    {
      absl::MutexLock lock(&mu_);
      if (events_.empty()) break;
      const Event& event = events_.front();
      if (SizeOf(event) > dst.size()) {
        if (total == 0) return Errno::kInval;
        break;
      }
      const uint32_t head[] = {static_cast<uint32_t>(event.wd), event.mask, event.cookie,
                               static_cast<uint32_t>(event.name.size())};
      static_assert(sizeof head == sizeof(inotify_event));
      bytes.assign(reinterpret_cast<const char*>(head), sizeof head);
      bytes += event.name;
      bytes_ -= bytes.size();
      events_.pop_front();
    }
    // As in Linux, spent even if the copy faults.
    const ErrnoOr<size_t> copied = dst.CopyOut(std::as_bytes(std::span(bytes)));
    if (!copied.ok() || *copied < bytes.size()) return total > 0 ? ErrnoOr<size_t>(total) : Errno::kFault;
    total += bytes.size();
  }
  if (total == 0) return Errno::kAgain;
  return total;
}

size_t InotifyCore::queued_bytes() const {
  absl::MutexLock lock(&mu_);
  return bytes_;
}

ErrnoOr<int64_t> InotifyFile::Ioctl(const vfs::IoctlRequest& request) {
  if (request.command != FIONREAD) return Errno::kNotTy;
  const int bytes = static_cast<int>(core_->queued_bytes());
  TRY_VOID(usermem::CopyOut(request.space, usermem::UserPtr<int>(request.arg), bytes));
  return 0;
}

}  // namespace cloister::event
