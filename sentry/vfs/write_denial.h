#ifndef CLOISTER_SENTRY_VFS_WRITE_DENIAL_H_
#define CLOISTER_SENTRY_VFS_WRITE_DENIAL_H_

#include <memory>
#include <utility>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/vfs/inode.h"

namespace cloister::vfs {

// As long as it lives the file cannot be opened for writing: a program that runs. Linux: deny_write_access.
class WriteDenial {
 public:
  // kTxtBsy where somebody has it open for writing.
  static ErrnoOr<std::shared_ptr<const WriteDenial>> Of(Ref<Inode> inode) {
    TRY_VOID(inode->DenyWriteAccess());
    return std::shared_ptr<const WriteDenial>(new WriteDenial(std::move(inode)));
  }
  ~WriteDenial() { inode_->AllowWriteAccess(); }
  WriteDenial(const WriteDenial&) = delete;
  WriteDenial& operator=(const WriteDenial&) = delete;

 private:
  explicit WriteDenial(Ref<Inode> inode) : inode_(std::move(inode)) {}

  const Ref<Inode> inode_;
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_WRITE_DENIAL_H_
