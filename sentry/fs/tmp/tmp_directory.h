#ifndef CLOISTER_SENTRY_FS_TMP_TMP_DIRECTORY_H_
#define CLOISTER_SENTRY_FS_TMP_TMP_DIRECTORY_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "sentry/fs/tmp/node_state.h"
#include "sentry/vfs/directory_file.h"
#include "sentry/vfs/name_map.h"

namespace cloister::tmp {

// A directory. Entries have cookies that count up, so that readers keep their place.
class TmpDirectory final : public TmpNode<vfs::DirectoryInode> {
 public:
  TmpDirectory(const Ref<TmpFs>& fs, const vfs::NewNode& node) : TmpNode(fs, node, 2), fs_(fs) {}

  ErrnoOr<struct statx> GetAttr() override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override;
  ErrnoOr<Ref<vfs::Inode>> Lookup(std::string_view name) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Ref<vfs::Inode>> Create(std::string_view name, const vfs::NewNode& node) override;
  ErrnoOr<Ref<vfs::Inode>> Symlink(std::string_view name, std::string_view target,
                                   const vfs::NewNode& owner) override;
  ErrnoOrVoid Link(std::string_view name, vfs::Inode& target) override;
  ErrnoOrVoid Unlink(std::string_view name, vfs::Inode& target) override;
  ErrnoOrVoid Rmdir(std::string_view name, vfs::Inode& target) override;
  ErrnoOrVoid Rename(std::string_view name, vfs::Inode& moved, vfs::DirectoryInode& new_parent,
                     std::string_view new_name, vfs::Inode* replaced, uint32_t flags) override;
  ErrnoOr<Ref<vfs::Inode>> CreateUnnamed(const vfs::NewNode& node) override;

  // Entries with cookies from `from` on.
  ErrnoOrVoid Emit(int64_t from, absl::FunctionRef<bool(const vfs::DirectoryFile::Entry&)> emit)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool empty() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Child {
    std::string name;
    Ref<vfs::Inode> inode;
  };

  // kExist where the name is taken; a directory counts as a link of this one.
  ErrnoOrVoid Insert(std::string_view name, Ref<vfs::Inode> inode) ABSL_LOCKS_EXCLUDED(mu_);
  void InsertLocked(std::string_view name, Ref<vfs::Inode> inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What the name was; null if it was nothing.
  Ref<vfs::Inode> Take(std::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  Ref<vfs::Inode> TakeLocked(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOrVoid Exchange(std::string_view name, TmpDirectory& other, std::string_view other_name);
  void Touched() { state().Touch(NodeState::kModify | NodeState::kChange); }

  const Ref<TmpFs> fs_;
  mutable absl::Mutex mu_;  // never two at once; above the NodeStates'
  vfs::NameMap<int64_t> cookies_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, Child> children_ ABSL_GUARDED_BY(mu_);
  int64_t next_cookie_ ABSL_GUARDED_BY(mu_) = vfs::CookieDirectory::kFirstCookie;
};

}  // namespace cloister::tmp

#endif  // CLOISTER_SENTRY_FS_TMP_TMP_DIRECTORY_H_
