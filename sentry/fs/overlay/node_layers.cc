#include "sentry/fs/overlay/node_layers.h"

#include <sys/sysmacros.h>

#include <limits>

#include "sentry/fs/overlay/copy_up.h"
#include "sentry/fs/overlay/overlay_directory.h"
#include "sentry/fs/overlay/overlay_file.h"
#include "sentry/fs/overlay/overlay_special.h"

namespace cloister::overlay {
namespace {

using vfs::Inode;

bool Later(const timespec& a, const statx_timestamp& b) {
  return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > static_cast<long>(b.tv_nsec));
}

}  // namespace

NodeLayers::NodeLayers(Inode& self, Birth birth)
    : self_(self),
      lower_(std::move(birth.lower)),
      number_(birth.number),
      rdev_(birth.rdev),
      upper_(birth.upper.Release()),
      data_is_upper_(!lower_ || self.type() != S_IFREG),
      links_(birth.links) {}

NodeLayers::~NodeLayers() { Ref<Inode>::Adopt(upper_.load(std::memory_order_acquire)).reset(); }

ErrnoOr<Inode*> NodeLayers::CopyUpLocked() {
  if (Inode* const there = upper()) return there;
  Ref<Inode> made = TRY(CopyNode(fs(), *lower_));
  upper_.store(made.Release(), std::memory_order_release);
  fs().Keep(self_);
  return upper();
}

ErrnoOr<Inode*> NodeLayers::CopyUp() {
  if (Inode* const there = upper()) return there;
  absl::MutexLock lock(&copy_mu_);
  return CopyUpLocked();
}

ErrnoOr<Inode*> NodeLayers::CopyUpData(uint64_t bytes) {
  if (data_is_upper()) return CopyUp();
  absl::MutexLock lock(&copy_mu_);
  Inode* const to = TRY(CopyUpLocked());
  if (!data_is_upper()) {
    TRY_VOID(CopyData(*lower_, *to, bytes));
    data_is_upper_.store(true, std::memory_order_release);
  }
  return to;
}

ErrnoOr<struct statx> NodeLayers::GetAttr() const {
  const bool own_data = data_is_upper();  // asked before the attributes, which change with it
  struct statx attr = TRY(current().GetAttr());
  if (!own_data && upper() != nullptr) {
    const struct statx data = TRY(lower_->GetAttr());
    attr.stx_size = data.stx_size;
    attr.stx_blocks = data.stx_blocks;
  }
  attr.stx_ino = number_;
  attr.stx_dev_major = major(self_.fs().device());
  attr.stx_dev_minor = minor(self_.fs().device());
  absl::MutexLock lock(&state_mu_);
  attr.stx_nlink = links_;
  if (Later(changed_, attr.stx_ctime)) {
    attr.stx_ctime.tv_sec = changed_.tv_sec;
    attr.stx_ctime.tv_nsec = static_cast<uint32_t>(changed_.tv_nsec);
  }
  return attr;
}

ErrnoOrVoid NodeLayers::SetAttr(const vfs::AttrChange& change) {
  Inode* const to = TRY(change.size ? CopyUpData(*change.size) : CopyUp());
  return to->SetAttr(change);
}

ErrnoOrVoid NodeLayers::SetXattr(const std::string& name, std::string_view value, int flags) {
  return TRY(CopyUp())->SetXattr(name, value, flags);
}

ErrnoOrVoid NodeLayers::RemoveXattr(const std::string& name) {
  TRY_VOID(current().GetXattr(name));  // nothing is copied for a name that is not there
  return TRY(CopyUp())->RemoveXattr(name);
}

uint32_t NodeLayers::links() const {
  absl::MutexLock lock(&state_mu_);
  return links_;
}

void NodeLayers::StampLocked() { clock_gettime(CLOCK_REALTIME_COARSE, &changed_); }

ErrnoOrVoid NodeLayers::AddName() {
  {
    absl::MutexLock lock(&state_mu_);
    if (links_ == 0 && !first_name_allowed_) return Errno::kNoEnt;
    if (links_ == std::numeric_limits<uint32_t>::max()) return Errno::kMLink;
    first_name_allowed_ = false;
    ++links_;
    StampLocked();
  }
  fs().Keep(self_);
  return {};
}

void NodeLayers::RemoveName() {
  bool gone;
  {
    absl::MutexLock lock(&state_mu_);
    links_ = self_.is_directory() || links_ == 0 ? 0 : links_ - 1;
    gone = links_ == 0;
    StampLocked();
  }
  if (gone) {
    fs().Drop(self_);
  } else {
    fs().Keep(self_);
  }
}

void NodeLayers::Renamed() {
  {
    absl::MutexLock lock(&state_mu_);
    StampLocked();
  }
  fs().Keep(self_);
}

void NodeLayers::AddSubdirectories(int difference) {
  absl::MutexLock lock(&state_mu_);
  // Some file systems (btrfs) do not count: their directories have one link.
  if (links_ >= 2) links_ += static_cast<uint32_t>(difference);
}

void NodeLayers::AllowFirstName(bool allow) {
  absl::MutexLock lock(&state_mu_);
  first_name_allowed_ = allow;
}

NodeLayers& LayersOf(Inode& inode) {
  switch (inode.type()) {
    case S_IFREG:
      return static_cast<OverlayFile&>(inode).layers();
    case S_IFDIR:
      return static_cast<OverlayDirectory&>(inode).layers();
    case S_IFLNK:
      return static_cast<OverlaySymlink&>(inode).layers();
    default:
      return static_cast<OverlaySpecial&>(inode).layers();
  }
}

}  // namespace cloister::overlay
