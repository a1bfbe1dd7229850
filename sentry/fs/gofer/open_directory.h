#ifndef CLOISTER_SENTRY_FS_GOFER_OPEN_DIRECTORY_H_
#define CLOISTER_SENTRY_FS_GOFER_OPEN_DIRECTORY_H_

#include "sentry/fs/gofer/directory.h"

namespace cloister::goferfs {

// A directory, open. Exclusive: reads the directory's own listing. Shared: a listing of its own,
// fetched anew whenever reading begins at the start.
class GoferOpenDirectory final : public vfs::CookieDirectory {
 public:
  GoferOpenDirectory(const vfs::OpenRequest& request, Ref<GoferDirectory> directory)
      : CookieDirectory(request.flags, request.path, request.cred), directory_(std::move(directory)) {}

  Ref<vfs::Inode> inode() const override { return directory_; }
  ErrnoOrVoid Sync(bool) override { return directory_->Sync(); }

 protected:
  // Called under the position's lock, which guards listing_ too.
  ErrnoOrVoid Emit(int64_t from, absl::FunctionRef<bool(const Entry&)> emit) override {
    if (directory_->cache() == vfs::DirectoryInode::Cache::kForever) return directory_->Emit(from, emit);
    if (from == kFirstCookie || !fetched_) {
      listing_ = Listing();
      TRY_VOID(directory_->Snapshot(&listing_));
      fetched_ = true;
    }
    listing_.Emit(from, directory_->remote().device_bits(), emit);
    return {};
  }

 private:
  const Ref<GoferDirectory> directory_;
  Listing listing_;
  bool fetched_ = false;
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_OPEN_DIRECTORY_H_
