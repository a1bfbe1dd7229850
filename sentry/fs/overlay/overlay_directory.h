#ifndef CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_DIRECTORY_H_
#define CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_DIRECTORY_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "sentry/fs/overlay/node_layers.h"
#include "sentry/vfs/directory_file.h"
#include "sentry/vfs/name_map.h"

namespace cloister::overlay {

// A directory: the lower one's names, but for those that are known here, which name something else
// or nothing (a whiteout). It carries its lower directory wherever it is renamed to. One that was
// made in the overlay has none, which makes it opaque.
class OverlayDirectory final : public OverlayNode<vfs::DirectoryInode> {
 public:
  OverlayDirectory(const Ref<OverlayFs>& fs, NodeLayers::Birth birth)
      : OverlayNode(fs, std::move(birth)), fs_(*fs) {}

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

  // Entries with cookies from `from` on: the lower directory's under its own cookies, read through
  // `lower` (null: there is none), then those of this one.
  ErrnoOrVoid Emit(vfs::FileDescription* lower, int64_t from,
                   absl::FunctionRef<bool(const vfs::DirectoryFile::Entry&)> emit) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // What is known of a name here.
  struct Name {
    int64_t cookie;    // kWhiteout: nothing is there
    bool hides_lower;  // the lower directory has the name too
  };
  struct Child {
    std::string name;
    Ref<vfs::Inode> inode;
  };
  static constexpr int64_t kWhiteout = 0;
  static constexpr int64_t kFirstOwnCookie = int64_t{1} << 62;

  vfs::DirectoryInode* lower_directory() const {
    return layers().lower() ? layers().lower()->AsDirectory() : nullptr;
  }
  // A new name for inode: kExist where it is taken.
  ErrnoOrVoid Insert(std::string_view name, Ref<vfs::Inode> inode) ABSL_LOCKS_EXCLUDED(mu_);
  // The name, which is `old`'s, becomes inode's.
  void Replace(std::string_view name, vfs::Inode& old, Ref<vfs::Inode> inode) ABSL_LOCKS_EXCLUDED(mu_);
  // The name, which is `old`'s, becomes nobody's.
  void Remove(std::string_view name, vfs::Inode& old) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<bool> CheckFreeLocked(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PutLocked(std::string_view name, Ref<vfs::Inode> inode, bool hides_lower)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the name hides one of the lower directory; it does now, until the caller says more.
  bool TakeLocked(std::string_view name, vfs::Inode& old) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of the merged view.
  ErrnoOrVoid CheckEmpty() ABSL_LOCKS_EXCLUDED(mu_);
  // Copies the directory itself up, before a change of its names; Touched: behind the change.
  ErrnoOrVoid Prepare() {
    TRY_VOID(layers().CopyUp());
    return {};
  }
  void Touched();

  OverlayFs& fs_;
  absl::Mutex mu_;
  vfs::NameMap<Name> names_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, Child> children_ ABSL_GUARDED_BY(mu_);
  int64_t next_cookie_ ABSL_GUARDED_BY(mu_) = kFirstOwnCookie;
};

}  // namespace cloister::overlay

#endif  // CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_DIRECTORY_H_
