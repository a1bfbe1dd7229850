#include "sentry/vfs/path_walk.h"

#include <linux/openat2.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "sentry/vfs/operations.h"
#include "sentry/vfs/permission.h"

namespace cloister::vfs {
namespace {

constexpr int kMaxLinks = 40;                // Linux: MAXSYMLINKS
constexpr size_t kMaxName = 255;             // NAME_MAX
constexpr uint64_t kMountNoSymFollow = 256;  // MS_NOSYMFOLLOW

std::string_view SkipSlashes(std::string_view text) {
  const size_t first = text.find_first_not_of('/');
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

}  // namespace

PathWalk::PathWalk(const Caller& caller, const Path& start, uint64_t resolve)
    : caller_(caller),
      resolve_(resolve),
      root_((resolve & (RESOLVE_IN_ROOT | RESOLVE_BENEATH)) != 0 ? start : caller.root),
      mount_(start.mount()),
      dentry_(start.dentry()) {}

void PathWalk::StandOn(Path path) {
  dentry_ = path.dentry();
  if (mount_ != path.mount()) mount_ = path.mount();
}

ErrnoOrVoid PathWalk::JumpToRoot() {
  if ((resolve_ & RESOLVE_BENEATH) != 0) return Errno::kXDev;
  if ((resolve_ & RESOLVE_NO_XDEV) != 0 && mount_ != root_.mount()) return Errno::kXDev;
  StandOn(root_);
  return {};
}

ErrnoOrVoid PathWalk::ToParent(std::string_view path) {
  rest_ = path;
  if (path.starts_with('/')) TRY_VOID(JumpToRoot());
  return WalkRest();
}

PathWalk::LastKind PathWalk::KindOf(std::string_view name) {
  if (name == ".") return LastKind::kDot;
  return name == ".." ? LastKind::kDotDot : LastKind::kName;
}

ErrnoOrVoid PathWalk::WalkRest() {
  last_kind_ = LastKind::kRoot;
  last_ = {};
  trailing_slash_ = false;
  rest_ = SkipSlashes(rest_);
  while (!rest_.empty()) {
    const size_t end = std::min(rest_.find('/'), rest_.size());
    const std::string_view name = rest_.substr(0, end);
    const std::string_view after = SkipSlashes(rest_.substr(end));
    TRY_VOID(CheckSearch());
    if (name.size() > kMaxName) return Errno::kNameTooLong;
    if (after.empty()) {
      last_ = name;
      last_kind_ = KindOf(name);
      trailing_slash_ = end < rest_.size();
      rest_ = {};
      return {};
    }
    rest_ = after;
    TRY_VOID(Step(name));
  }
  return {};
}

ErrnoOrVoid PathWalk::CheckSearch() {
  Inode* const inode = dentry_->inode().get();
  if (inode == nullptr) return Errno::kNoEnt;
  if (!inode->is_directory()) return Errno::kNotDir;
  return CheckInode(*caller_.cred, *inode, X_OK);
}

ErrnoOr<Path> PathWalk::CrossMounts(Ref<Dentry> child) {
  Path path(mount_, std::move(child));
  if (!path.dentry()->mounted_on()) return path;
  path = caller_.mounts->CoverOf(std::move(path));
  if ((resolve_ & RESOLVE_NO_XDEV) != 0 && path.mount() != mount_) return Errno::kXDev;
  return path;
}

ErrnoOrVoid PathWalk::Step(std::string_view name) {
  switch (KindOf(name)) {
    case LastKind::kDot:
    case LastKind::kRoot:
      return {};
    case LastKind::kDotDot:
      return GoUp();
    case LastKind::kName:
      break;
  }
  Ref<Dentry> child = TRY(dentry_->Child(name));
  if (child->negative()) return Errno::kNoEnt;
  if (child->inode()->is_symlink()) return PushLink(*child->inode());
  if (!child->mounted_on()) {
    dentry_ = std::move(child);
    return {};
  }
  StandOn(TRY(CrossMounts(std::move(child))));
  return {};
}

ErrnoOrVoid PathWalk::GoUp() {
  if (dentry_ == root_.dentry() && mount_ == root_.mount()) {
    return (resolve_ & RESOLVE_BENEATH) != 0 ? Errno::kXDev : Ok();
  }
  Path at = Place();
  while (at.dentry() == at.mount()->root()) {
    Path point = caller_.mounts->MountPointOf(*at.mount());
    if (!point) return {};  // the top of the namespace, or a detached mount's
    if ((resolve_ & RESOLVE_NO_XDEV) != 0) return Errno::kXDev;
    at = std::move(point);
    if (at == root_) break;
  }
  if (!(at == root_)) {
    absl::ReaderMutexLock lock(&Dentry::rename_mutex());
    if (at.dentry()->parent()) at = Path(at.mount(), at.dentry()->parent());
  }
  StandOn(caller_.mounts->CoverOf(std::move(at)));
  return {};
}

ErrnoOrVoid PathWalk::Jump(const Path& target) {
  if ((resolve_ & RESOLVE_NO_MAGICLINKS) != 0) return Errno::kLoop;
  if ((resolve_ & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) != 0) return Errno::kXDev;
  if ((resolve_ & RESOLVE_NO_XDEV) != 0 && target.mount() != mount_) return Errno::kXDev;
  StandOn(target);
  return {};
}

ErrnoOrVoid PathWalk::PushLink(Inode& link) {
  if (++links_ > kMaxLinks || (resolve_ & RESOLVE_NO_SYMLINKS) != 0) return Errno::kLoop;
  if ((mount_->flags() & kMountNoSymFollow) != 0) return Errno::kLoop;
  SymlinkInode& symlink = *link.AsSymlink();
  if (const std::optional<Path> target = TRY(symlink.Follow(caller_))) return Jump(*target);
  std::string text = TRY(symlink.Readlink(caller_));
  if (text.empty()) return Errno::kNoEnt;
  // rest_ may point into storage_: the new text is made before the old one goes.
  std::string joined = rest_.empty() ? std::move(text) : absl::StrCat(text, "/", std::string(rest_));
  storage_ = std::move(joined);
  rest_ = storage_;
  if (!rest_.starts_with('/')) return {};
  TRY_VOID(JumpToRoot());
  rest_ = SkipSlashes(rest_);
  return {};
}

ErrnoOrVoid PathWalk::FollowLast(const Ref<Dentry>& link) {
  const bool slash = trailing_slash_;
  rest_ = {};
  TRY_VOID(PushLink(*link->inode()));
  TRY_VOID(WalkRest());
  trailing_slash_ |= slash;
  return {};
}

ErrnoOr<Path> PathWalk::Last(bool follow) {
  while (true) {
    switch (last_kind_) {
      case LastKind::kDotDot:
        TRY_VOID(GoUp());
        return Place();
      case LastKind::kDot:
      case LastKind::kRoot:
        return Place();
      case LastKind::kName:
        break;
    }
    const Ref<Dentry> child = TRY(dentry_->Child(last_));
    if (child->negative()) return Errno::kNoEnt;
    const bool link = child->inode()->is_symlink();
    if (!link || !(follow || trailing_slash_)) {
      if (trailing_slash_ && !child->inode()->is_directory()) return Errno::kNotDir;
      return CrossMounts(child);
    }
    TRY_VOID(FollowLast(child));
  }
}

ErrnoOr<Path> Resolve(const Caller& caller, const Path& start, std::string_view path,
                      const WalkOptions& options) {
  if (path.empty()) {
    if (!options.allow_empty) return Errno::kNoEnt;
    return start;
  }
  PathWalk walk(caller, start, options.resolve);
  TRY_VOID(walk.ToParent(path));
  Path found = TRY(walk.Last(options.follow_last));
  if ((options.want_directory || walk.trailing_slash()) && !found.dentry()->inode()->is_directory()) {
    return Errno::kNotDir;
  }
  return found;
}

ErrnoOr<Parent> ResolveParent(const Caller& caller, const Path& start, std::string_view path,
                              uint64_t resolve) {
  if (path.empty()) return Errno::kNoEnt;
  PathWalk walk(caller, start, resolve);
  TRY_VOID(walk.ToParent(path));
  Parent parent;
  parent.directory = walk.Place();
  parent.trailing_slash = walk.trailing_slash();
  switch (walk.last_kind()) {
    case PathWalk::LastKind::kName:
    case PathWalk::LastKind::kDot:
    case PathWalk::LastKind::kDotDot:
      parent.name = walk.last();
      break;
    case PathWalk::LastKind::kRoot:
      parent.name = "/";
      break;
  }
  return parent;
}

}  // namespace cloister::vfs
