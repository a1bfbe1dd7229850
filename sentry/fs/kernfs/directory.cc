#include "sentry/fs/kernfs/directory.h"

#include <algorithm>

#include "sentry/fs/kernfs/link.h"
#include "sentry/fs/kernfs/text_file.h"

namespace cloister::kernfs {
namespace {

class OpenDirectory final : public vfs::CookieDirectory {
 public:
  OpenDirectory(const vfs::OpenRequest& request, Ref<Directory> directory)
      : CookieDirectory(request.flags, request.path, request.cred), directory_(std::move(directory)) {}

  Ref<vfs::Inode> inode() const override { return directory_; }

 protected:
  ErrnoOrVoid Emit(int64_t from, absl::FunctionRef<bool(const Entry&)> emit) override {
    return directory_->Emit(from, emit);
  }

 private:
  const Ref<Directory> directory_;
};

}  // namespace

uint8_t DirentType(mode_t mode) { return static_cast<uint8_t>((mode & S_IFMT) >> 12); }

Directory::Directory(Ref<Tree> tree, const NodeSpec& spec)
    : DirectoryInode(tree), attr_(*tree, S_IFDIR, spec) {}

ErrnoOr<Ref<vfs::FileDescription>> Directory::Open(const vfs::OpenRequest& request) {
  return Ref<vfs::FileDescription>(MakeRef<OpenDirectory>(request, Ref<Directory>(this)));
}

StaticDirectory::StaticDirectory(Ref<Tree> tree, const NodeSpec& spec) : Directory(std::move(tree), spec) {}

void StaticDirectory::Add(std::string_view name, Ref<vfs::Inode> inode) {
  const auto attr = inode->GetAttr();
  const uint64_t number = attr.ok() ? attr->stx_ino : 0;
  absl::MutexLock lock(&mu_);
  index_.emplace(std::string(name), children_.size());
  children_.push_back({std::string(name), std::move(inode), number});
}

StaticDirectory& StaticDirectory::Dir(std::string_view name) {
  const auto found = Lookup(name);
  if (found.ok()) return static_cast<StaticDirectory&>(**found);
  auto made = MakeRef<StaticDirectory>(tree_ref());
  StaticDirectory& result = *made;
  Add(name, std::move(made));
  return result;
}

StaticDirectory& StaticDirectory::Text(std::string_view name, std::string text, mode_t mode) {
  Add(name, MakeText(tree_ref(), mode, [text = std::move(text)] { return text; }));
  return *this;
}

StaticDirectory& StaticDirectory::AddLink(std::string_view name, std::string target) {
  Add(name, MakeRef<kernfs::Link>(tree_ref(), std::move(target)));
  return *this;
}

ErrnoOr<Ref<vfs::Inode>> StaticDirectory::Lookup(std::string_view name) {
  absl::ReaderMutexLock lock(&mu_);
  const auto it = index_.find(name);
  if (it == index_.end()) return Errno::kNoEnt;
  return children_[it->second].inode;
}

ErrnoOrVoid StaticDirectory::Emit(int64_t from, EmitFn emit) {
  absl::ReaderMutexLock lock(&mu_);
  const auto count = static_cast<int64_t>(children_.size());
  for (int64_t i = std::max<int64_t>(0, from - kFirstCookie); i < count; ++i) {
    const Child& child = children_[i];
    if (!emit({child.number, DirentType(child.inode->type()), child.name, i + kFirstCookie + 1})) break;
  }
  return {};
}

}  // namespace cloister::kernfs
