#include "sentry/fs/overlay/overlay_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "sentry/vfs/dentry.h"
#include "sentry/vfs/mount.h"

namespace cloister::overlay {
namespace {

using vfs::DirectoryInode;
using vfs::FileDescription;
using vfs::Inode;
using vfs::NewNode;

// A directory, open. Reads the lower one through an open file of that layer.
class OverlayOpenDirectory final : public vfs::CookieDirectory {
 public:
  OverlayOpenDirectory(const vfs::OpenRequest& request, Ref<OverlayDirectory> directory,
                       Ref<FileDescription> lower)
      : CookieDirectory(request.flags, request.path, request.cred),
        directory_(std::move(directory)),
        lower_(std::move(lower)) {}
  Ref<Inode> inode() const override { return directory_; }
  ErrnoOrVoid Sync(bool) override { return {}; }

 protected:
  ErrnoOrVoid Emit(int64_t from, absl::FunctionRef<bool(const Entry&)> emit) override {
    return directory_->Emit(lower_.get(), from, emit);
  }

 private:
  const Ref<OverlayDirectory> directory_;
  const Ref<FileDescription> lower_;
};

OverlayDirectory& AsOverlay(DirectoryInode& directory) { return static_cast<OverlayDirectory&>(directory); }

bool IsDot(std::string_view name) { return name == "." || name == ".."; }

}  // namespace

ErrnoOr<Ref<FileDescription>> OverlayDirectory::Open(const vfs::OpenRequest& request) {
  Ref<FileDescription> lower;
  if (layers().lower()) lower = TRY(layers().lower()->Open({request.flags, vfs::Path(), request.cred}));
  if (lower && lower->AsDirectory() == nullptr) return Errno::kIo;
  return MakeRef<OverlayOpenDirectory>(request, Ref<OverlayDirectory>(this), std::move(lower));
}

ErrnoOr<Ref<Inode>> OverlayDirectory::Lookup(std::string_view name) {
  Ref<Inode> below;
  {
    absl::ReaderMutexLock lock(&mu_);
    const auto found = names_.find(name);
    if (found != names_.end()) {
      if (found->second.cookie == kWhiteout) return Errno::kNoEnt;
      return children_.at(found->second.cookie).inode;
    }
    if (lower_directory() == nullptr) return Errno::kNoEnt;
    below = TRY(lower_directory()->Lookup(name));
  }
  return fs_.Obtain(below);
}

ErrnoOr<bool> OverlayDirectory::CheckFreeLocked(std::string_view name) {
  const auto found = names_.find(name);
  if (found != names_.end()) {
    if (found->second.cookie != kWhiteout) return Errno::kExist;
    return found->second.hides_lower;
  }
  if (lower_directory() == nullptr) return false;
  const ErrnoOr<Ref<Inode>> below = lower_directory()->Lookup(name);
  if (below.ok()) return Errno::kExist;
  if (below.error() != Errno::kNoEnt) return below.error();
  return false;
}

void OverlayDirectory::PutLocked(std::string_view name, Ref<Inode> inode, bool hides_lower) {
  if (inode->is_directory()) layers().AddSubdirectories(1);
  const int64_t cookie = next_cookie_++;
  names_.insert_or_assign(std::string(name), Name{cookie, hides_lower});
  children_.emplace(cookie, Child{std::string(name), std::move(inode)});
}

bool OverlayDirectory::TakeLocked(std::string_view name, Inode& old) {
  if (old.is_directory()) layers().AddSubdirectories(-1);
  const auto found = names_.find(name);
  if (found == names_.end()) return true;  // it was the lower directory's alone
  children_.erase(found->second.cookie);
  const bool hides_lower = found->second.hides_lower;
  names_.erase(found);
  return hides_lower;
}

ErrnoOrVoid OverlayDirectory::Insert(std::string_view name, Ref<Inode> inode) {
  absl::MutexLock lock(&mu_);
  const bool hides_lower = TRY(CheckFreeLocked(name));
  PutLocked(name, std::move(inode), hides_lower);
  return {};
}

void OverlayDirectory::Replace(std::string_view name, Inode& old, Ref<Inode> inode) {
  absl::MutexLock lock(&mu_);
  const bool hides_lower = TakeLocked(name, old);
  PutLocked(name, std::move(inode), hides_lower);
}

void OverlayDirectory::Remove(std::string_view name, Inode& old) {
  absl::MutexLock lock(&mu_);
  if (TakeLocked(name, old)) names_.emplace(name, Name{kWhiteout, true});
}

void OverlayDirectory::Touched() {
  // The change is made: an upper layer that refuses the times does not undo it.
  static_cast<void>(layers().SetAttr({.mtime = vfs::AttrChange::Time{true, {}}}));
}

ErrnoOr<Ref<Inode>> OverlayDirectory::Create(std::string_view name, const NewNode& node) {
  // 0:0 is a whiteout on any layer of Linux' overlayfs, which refuses it for that.
  if (S_ISCHR(node.mode) && node.rdev == 0) return Errno::kPerm;
  TRY_VOID(Prepare());
  Ref<Inode> inode = fs_.Adopt(TRY(fs_.NewUpper(node)), node, S_ISDIR(node.mode) ? 2 : 1);
  TRY_VOID(Insert(name, inode));
  Touched();
  return inode;
}

ErrnoOr<Ref<Inode>> OverlayDirectory::Symlink(std::string_view name, std::string_view target,
                                              const NewNode& owner) {
  TRY_VOID(Prepare());
  Ref<Inode> inode = fs_.Adopt(TRY(fs_.NewUpperSymlink(target, owner)), owner, 1);
  TRY_VOID(Insert(name, inode));
  Touched();
  return inode;
}

ErrnoOr<Ref<Inode>> OverlayDirectory::CreateUnnamed(const NewNode& node) {
  Ref<Inode> inode = fs_.Adopt(TRY(fs_.NewUpper(node)), node, 0);
  LayersOf(*inode).AllowFirstName(true);
  return inode;
}

ErrnoOrVoid OverlayDirectory::Link(std::string_view name, Inode& target) {
  if (&target.fs() != &fs()) return Errno::kXDev;
  TRY_VOID(Prepare());
  TRY_VOID(LayersOf(target).AddName());
  const ErrnoOrVoid inserted = Insert(name, Ref<Inode>(&target));
  if (!inserted.ok()) {
    LayersOf(target).RemoveName();
    return inserted;
  }
  Touched();
  return {};
}

ErrnoOrVoid OverlayDirectory::Unlink(std::string_view name, Inode& target) {
  TRY_VOID(Prepare());
  Remove(name, target);
  LayersOf(target).RemoveName();
  Touched();
  return {};
}

ErrnoOrVoid OverlayDirectory::CheckEmpty() {
  Ref<FileDescription> lower;
  if (layers().lower()) {
    lower = TRY(layers().lower()->Open({O_RDONLY | O_DIRECTORY, vfs::Path(), auth::Credentials::Root()}));
  }
  bool empty = true;
  TRY_VOID(Emit(lower.get(), vfs::CookieDirectory::kFirstCookie,
                [&](const vfs::DirectoryFile::Entry&) { return empty = false; }));
  return empty ? Ok() : Errno::kNotEmpty;
}

ErrnoOrVoid OverlayDirectory::Rmdir(std::string_view name, Inode& target) {
  TRY_VOID(AsOverlay(*target.AsDirectory()).CheckEmpty());
  TRY_VOID(Prepare());
  Remove(name, target);
  LayersOf(target).RemoveName();
  Touched();
  return {};
}

ErrnoOrVoid OverlayDirectory::Rename(std::string_view name, Inode& moved, DirectoryInode& new_parent,
                                     std::string_view new_name, Inode* replaced, uint32_t flags) {
  // Linux: ovl_rename knows no RENAME_WHITEOUT.
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return Errno::kInval;
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  OverlayDirectory& target = AsOverlay(new_parent);
  if (!exchange && replaced != nullptr && replaced->is_directory()) {
    TRY_VOID(AsOverlay(*replaced->AsDirectory()).CheckEmpty());
  }
  TRY_VOID(Prepare());
  TRY_VOID(target.Prepare());
  // From here on nothing fails: names are the overlay's own data. The moved file is never missing,
  // but for a moment it has both names.
  if (replaced != nullptr) {
    target.Replace(new_name, *replaced, Ref<Inode>(&moved));
  } else {
    TRY_VOID(target.Insert(new_name, Ref<Inode>(&moved)));
  }
  if (exchange) {
    Replace(name, moved, Ref<Inode>(replaced));
    LayersOf(*replaced).Renamed();
  } else {
    Remove(name, moved);
    if (replaced != nullptr) LayersOf(*replaced).RemoveName();
  }
  LayersOf(moved).Renamed();
  Touched();
  if (&target != this) target.Touched();
  return {};
}

ErrnoOrVoid OverlayDirectory::Emit(FileDescription* lower, int64_t from,
                                   absl::FunctionRef<bool(const vfs::DirectoryFile::Entry&)> emit) {
  absl::ReaderMutexLock lock(&mu_);
  bool more = true;
  if (lower != nullptr && from < kFirstOwnCookie) {
    TRY_VOID(lower->Seek(from, SEEK_SET));
    TRY_VOID(lower->AsDirectory()->ReadDir([&](const vfs::DirectoryFile::Entry& entry) {
      mu_.AssertReaderHeld();
      if (!IsDot(entry.name) && !names_.contains(entry.name)) more = emit(entry);
      return more;
    }));
  }
  if (!more) return {};
  for (auto child = children_.lower_bound(from); child != children_.end(); ++child) {
    Inode& inode = *child->second.inode;
    const auto type = static_cast<uint8_t>(IFTODT(inode.type()));
    if (!emit({LayersOf(inode).number(), type, child->second.name, child->first + 1})) break;
  }
  return {};
}

}  // namespace cloister::overlay
