#include "sentry/fs/tmp/tmp_directory.h"

#include <dirent.h>
#include <linux/fs.h>

#include <utility>

#include "sentry/fs/tmp/tmp_file.h"
#include "sentry/fs/tmp/tmp_special.h"

namespace cloister::tmp {
namespace {

using vfs::DirectoryInode;
using vfs::Inode;
using vfs::NewNode;

constexpr uint64_t kEntrySize = 20;  // Linux: BOGO_DIRENT_SIZE

class TmpDirectoryFile final : public vfs::CookieDirectory {
 public:
  TmpDirectoryFile(const vfs::OpenRequest& request, Ref<TmpDirectory> directory)
      : CookieDirectory(request.flags, request.path, request.cred), directory_(std::move(directory)) {}
  Ref<Inode> inode() const override { return directory_; }
  ErrnoOrVoid Sync(bool) override { return {}; }

 protected:
  ErrnoOrVoid Emit(int64_t from, absl::FunctionRef<bool(const Entry&)> emit) override {
    if ((flags() & O_NOATIME) == 0) directory_->state().TouchByReading(false);
    return directory_->Emit(from, emit);
  }

 private:
  const Ref<TmpDirectory> directory_;
};

TmpDirectory& AsTmp(DirectoryInode& directory) { return static_cast<TmpDirectory&>(directory); }

}  // namespace

ErrnoOr<struct statx> TmpDirectory::GetAttr() {
  struct statx attr = state().Attr();
  absl::MutexLock lock(&mu_);
  attr.stx_size = (children_.size() + 2) * kEntrySize;
  return attr;
}

ErrnoOr<Ref<vfs::FileDescription>> TmpDirectory::Open(const vfs::OpenRequest& request) {
  return MakeRef<TmpDirectoryFile>(request, Ref<TmpDirectory>(this));
}

ErrnoOr<Ref<Inode>> TmpDirectory::Lookup(std::string_view name) {
  absl::MutexLock lock(&mu_);
  const auto found = cookies_.find(name);
  if (found == cookies_.end()) return Errno::kNoEnt;
  return children_.at(found->second).inode;
}

void TmpDirectory::InsertLocked(std::string_view name, Ref<Inode> inode) {
  if (inode->is_directory()) state().AddLinks(1);
  const int64_t cookie = next_cookie_++;
  cookies_.emplace(name, cookie);
  children_.emplace(cookie, Child{std::string(name), std::move(inode)});
}

ErrnoOrVoid TmpDirectory::Insert(std::string_view name, Ref<Inode> inode) {
  {
    absl::MutexLock lock(&mu_);
    if (cookies_.contains(name)) return Errno::kExist;
    InsertLocked(name, std::move(inode));
  }
  Touched();
  return {};
}

Ref<Inode> TmpDirectory::TakeLocked(std::string_view name) {
  const auto found = cookies_.find(name);
  if (found == cookies_.end()) return nullptr;
  const auto child = children_.find(found->second);
  Ref<Inode> inode = std::move(child->second.inode);
  children_.erase(child);
  cookies_.erase(found);
  if (inode->is_directory()) state().AddLinks(-1);
  return inode;
}

Ref<Inode> TmpDirectory::Take(std::string_view name) {
  absl::MutexLock lock(&mu_);
  return TakeLocked(name);
}

ErrnoOr<Ref<Inode>> TmpDirectory::Create(std::string_view name, const NewNode& node) {
  if (!fs_->TakeInode()) return Errno::kNoSpc;
  Ref<Inode> inode;
  switch (node.mode & S_IFMT) {
    case S_IFREG:
      inode = MakeRef<TmpFile>(fs_, node, 1);
      break;
    case S_IFDIR:
      inode = MakeRef<TmpDirectory>(fs_, node);
      break;
    default:
      inode = MakeRef<TmpSpecial>(fs_, node);
      break;
  }
  TRY_VOID(Insert(name, inode));
  return inode;
}

ErrnoOr<Ref<Inode>> TmpDirectory::Symlink(std::string_view name, std::string_view target,
                                          const NewNode& owner) {
  if (!fs_->TakeInode()) return Errno::kNoSpc;
  Ref<Inode> inode = MakeRef<TmpSymlink>(fs_, owner, target);
  TRY_VOID(Insert(name, inode));
  return inode;
}

ErrnoOrVoid TmpDirectory::Link(std::string_view name, Inode& target) {
  if (&target.fs() != fs_.get()) return Errno::kXDev;
  TRY_VOID(StateOf(target).Link());
  const ErrnoOrVoid inserted = Insert(name, Ref<Inode>(&target));
  if (!inserted.ok()) StateOf(target).AddLinks(-1);
  return inserted;
}

ErrnoOrVoid TmpDirectory::Unlink(std::string_view name, Inode&) {
  const Ref<Inode> gone = Take(name);
  if (!gone) return Errno::kNoEnt;
  StateOf(*gone).AddLinks(-1);
  Touched();
  return {};
}

ErrnoOrVoid TmpDirectory::Rmdir(std::string_view name, Inode& target) {
  if (!AsTmp(*target.AsDirectory()).empty()) return Errno::kNotEmpty;
  const Ref<Inode> gone = Take(name);
  if (!gone) return Errno::kNoEnt;
  StateOf(*gone).AddLinks(-2);
  Touched();
  return {};
}

ErrnoOrVoid TmpDirectory::Exchange(std::string_view name, TmpDirectory& other, std::string_view other_name) {
  Ref<Inode> mine = Take(name);
  Ref<Inode> its = other.Take(other_name);
  if (!mine || !its) return Errno::kNoEnt;
  StateOf(*mine).Touch(NodeState::kChange);
  StateOf(*its).Touch(NodeState::kChange);
  TRY_VOID(Insert(name, std::move(its)));
  return other.Insert(other_name, std::move(mine));
}

ErrnoOrVoid TmpDirectory::Rename(std::string_view name, Inode& moved, DirectoryInode& new_parent,
                                 std::string_view new_name, Inode* replaced, uint32_t flags) {
  TmpDirectory& target = AsTmp(new_parent);
  if ((flags & RENAME_EXCHANGE) != 0) return Exchange(name, target, new_name);
  if (replaced != nullptr && replaced->is_directory() && !AsTmp(*replaced->AsDirectory()).empty()) {
    return Errno::kNotEmpty;
  }
  Ref<Inode> whiteout;
  if ((flags & RENAME_WHITEOUT) != 0) {
    if (!fs_->TakeInode()) return Errno::kNoSpc;
    const vfs::Ownership owner = state().owner();
    whiteout = MakeRef<TmpSpecial>(fs_, NewNode{S_IFCHR, owner.uid, owner.gid, 0});
  }
  if (replaced != nullptr) {
    const Ref<Inode> gone = target.Take(new_name);
    if (gone) StateOf(*gone).AddLinks(gone->is_directory() ? -2 : -1);
  }
  Ref<Inode> inode = Take(name);
  if (!inode) return Errno::kNoEnt;
  TRY_VOID(target.Insert(new_name, std::move(inode)));
  if (whiteout) TRY_VOID(Insert(name, std::move(whiteout)));
  StateOf(moved).Touch(NodeState::kChange);
  Touched();
  return {};
}

ErrnoOr<Ref<Inode>> TmpDirectory::CreateUnnamed(const NewNode& node) {
  if (!fs_->TakeInode()) return Errno::kNoSpc;
  Ref<TmpFile> file = MakeRef<TmpFile>(fs_, node, 0);
  file->state().AllowFirstLink(true);
  return Ref<Inode>(std::move(file));
}

ErrnoOrVoid TmpDirectory::Emit(int64_t from, absl::FunctionRef<bool(const vfs::DirectoryFile::Entry&)> emit) {
  absl::MutexLock lock(&mu_);
  for (auto child = children_.lower_bound(from); child != children_.end(); ++child) {
    const Child& entry = child->second;
    const auto type = static_cast<uint8_t>(IFTODT(entry.inode->type()));
    if (!emit({StateOf(*entry.inode).number(), type, entry.name, child->first + 1})) break;
  }
  return {};
}

bool TmpDirectory::empty() const {
  absl::MutexLock lock(&mu_);
  return children_.empty();
}

}  // namespace cloister::tmp
