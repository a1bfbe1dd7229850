#ifndef CLOISTER_SENTRY_FS_KERNFS_DIRECTORY_H_
#define CLOISTER_SENTRY_FS_KERNFS_DIRECTORY_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "sentry/fs/kernfs/tree.h"
#include "sentry/vfs/directory_file.h"
#include "sentry/vfs/name_map.h"

namespace cloister::kernfs {

// A directory whose entries the sentry makes up.
class Directory : public vfs::DirectoryInode {
 public:
  using Entry = vfs::DirectoryFile::Entry;
  using EmitFn = absl::FunctionRef<bool(const Entry&)>;
  static constexpr int64_t kFirstCookie = vfs::CookieDirectory::kFirstCookie;

  Directory(Ref<Tree> tree, const NodeSpec& spec);

  ErrnoOr<struct statx> GetAttr() override { return attr_.Get(); }
  ErrnoOr<vfs::Ownership> GetOwnership() override { return attr_.GetOwnership(); }
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override { return attr_.Set(change); }
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override;

  // As vfs::CookieDirectory::Emit.
  virtual ErrnoOrVoid Emit(int64_t from, EmitFn emit) = 0;

 protected:
  Tree& tree() const { return static_cast<Tree&>(fs()); }
  Ref<Tree> tree_ref() const { return Ref<Tree>(&tree()); }

 private:
  NodeAttr attr_;
};

// One with fixed entries, listed in the order in which they were added.
class StaticDirectory : public Directory {
 public:
  explicit StaticDirectory(Ref<Tree> tree, const NodeSpec& spec = {.mode = 0555, .links = 2});

  // The name must be new.
  void Add(std::string_view name, Ref<vfs::Inode> inode) ABSL_LOCKS_EXCLUDED(mu_);
  // The directory of that name, made if it is missing. It must not be something else.
  StaticDirectory& Dir(std::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  // A file that always says the same.
  StaticDirectory& Text(std::string_view name, std::string text, mode_t mode = 0444);
  StaticDirectory& AddLink(std::string_view name, std::string target);

  ErrnoOr<Ref<vfs::Inode>> Lookup(std::string_view name) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Child {
    std::string name;
    Ref<vfs::Inode> inode;
    uint64_t number;
  };
  absl::Mutex mu_;  // above NodeAttr's
  std::vector<Child> children_ ABSL_GUARDED_BY(mu_);
  vfs::NameMap<size_t> index_ ABSL_GUARDED_BY(mu_);
};

// The getdents(2) type of an inode's mode.
uint8_t DirentType(mode_t mode);

}  // namespace cloister::kernfs

#endif  // CLOISTER_SENTRY_FS_KERNFS_DIRECTORY_H_
