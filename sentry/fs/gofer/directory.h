#ifndef CLOISTER_SENTRY_FS_GOFER_DIRECTORY_H_
#define CLOISTER_SENTRY_FS_GOFER_DIRECTORY_H_

#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "sentry/fs/gofer/gofer_node.h"
#include "sentry/fs/gofer/listing.h"
#include "sentry/vfs/directory_file.h"

namespace cloister::goferfs {

// A directory. Exclusive: once its names are known (a small one with the first lookup, others when
// they are read or looked into often), what is missing is known without asking, and a directory
// whose files are looked at one after the other is asked for all their attributes at once.
class GoferDirectory final : public GoferNode<vfs::DirectoryInode> {
 public:
  GoferDirectory(const Ref<GoferFs>& fs, const gofer::Node& node, Ref<GoferDirectory> parent,
                 std::string_view name)
      : GoferNode(fs, node, std::move(parent), name), fs_(fs) {}

  Cache cache() const override { return fs_->shared() ? Cache::kRevalidate : Cache::kForever; }
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override;
  ErrnoOr<Ref<vfs::Inode>> Lookup(std::string_view name) override ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<Ref<vfs::Inode>> Create(std::string_view name, const vfs::NewNode& node) override
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<Ref<vfs::Inode>> Symlink(std::string_view name, std::string_view target,
                                   const vfs::NewNode& owner) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Link(std::string_view name, vfs::Inode& target) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Unlink(std::string_view name, vfs::Inode& target) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Rmdir(std::string_view name, vfs::Inode& target) override ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Rename(std::string_view name, vfs::Inode& moved, vfs::DirectoryInode& new_parent,
                     std::string_view new_name, vfs::Inode* replaced, uint32_t flags) override;
  ErrnoOr<Ref<vfs::Inode>> CreateUnnamed(const vfs::NewNode& node) override;

  // Entries with cookies from `from` on, of the names as they are now. Exclusive only.
  ErrnoOrVoid Emit(int64_t from, absl::FunctionRef<bool(const vfs::DirectoryFile::Entry&)> emit)
      ABSL_LOCKS_EXCLUDED(mu_);
  // A listing of its own for a reader. Shared only.
  ErrnoOrVoid Snapshot(Listing* listing);
  ErrnoOrVoid Sync();

 private:
  using Names = std::pair<std::string_view, std::string_view>;

  ErrnoOr<Ref<vfs::Inode>> AskLocked(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes the inode from the listing's attributes; null if they do not do.
  ErrnoOr<Ref<vfs::Inode>> FromListingLocked(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Forgets what is no longer to be believed.
  void RenewLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // After one more question about a single name: is it time to ask for more?
  void ConsiderListingLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOrVoid FetchNamesLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FetchAttrsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Reads all, or the first reply alone; false if there is more than that.
  ErrnoOr<bool> Fetch(Listing* listing, uint32_t attr_limit, bool all);
  // A new name and what the gofer says it is.
  ErrnoOr<Ref<vfs::Inode>> AddLocked(std::string_view name, const gofer::Reply& reply, UniqueFd fd)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOrVoid RemoveName(std::string_view name, vfs::Inode& target, bool directory) ABSL_LOCKS_EXCLUDED(mu_);
  void MoveLocked(GoferDirectory& to, Names names, vfs::Inode& moved, vfs::Inode* replaced, bool exchange)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_, to.mu_);
  Ref<GoferDirectory> Self() { return Ref<GoferDirectory>(this); }

  const Ref<GoferFs> fs_;
  // Held while names are asked for or changed, so that a listing is never older than a change.
  // Two at once by address, for rename. Before every Remote::mu_.
  absl::Mutex mu_;
  Listing listing_ ABSL_GUARDED_BY(mu_);
  uint64_t listed_in_ ABSL_GUARDED_BY(mu_) = 0;    // GoferFs::distrusted() when listing_ was begun
  bool listed_ ABSL_GUARDED_BY(mu_) = false;       // listing_ is all there is
  bool asked_small_ ABSL_GUARDED_BY(mu_) = false;  // the first lookup's attempt was made
  bool attrs_asked_ ABSL_GUARDED_BY(mu_) = false;
  size_t questions_ ABSL_GUARDED_BY(mu_) = 0;  // about single names
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_DIRECTORY_H_
