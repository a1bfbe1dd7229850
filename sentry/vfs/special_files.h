#ifndef CLOISTER_SENTRY_VFS_SPECIAL_FILES_H_
#define CLOISTER_SENTRY_VFS_SPECIAL_FILES_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/vfs/file_description.h"
#include "sentry/vfs/inode.h"

namespace cloister::vfs {

// Opens what a node on any file system stands for: a FIFO's pipe, a device's driver. Linux:
// init_special_inode. Rooms above register what they serve, before the first guest runs; a file
// system's Inode::Open hands everything but regular files, directories and links to OpenSpecial.
class SpecialFiles {
 public:
  using Opener = std::function<ErrnoOr<Ref<FileDescription>>(Inode& inode, const OpenRequest& request)>;
  static constexpr unsigned kAnyMinor = ~0u;

  static SpecialFiles& Get();

  void SetFifoOpener(Opener opener) ABSL_LOCKS_EXCLUDED(mu_);
  // type: S_IFCHR or S_IFBLK. A minor of its own is asked before kAnyMinor.
  void RegisterDevice(mode_t type, unsigned major, unsigned minor, Opener opener) ABSL_LOCKS_EXCLUDED(mu_);

  // kNxIo for sockets, for devices nobody serves, and for FIFOs while there is no opener.
  ErrnoOr<Ref<FileDescription>> Open(Inode& inode, dev_t rdev, const OpenRequest& request)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Key = std::tuple<mode_t, unsigned, unsigned>;
  Opener FindLocked(mode_t type, dev_t rdev) const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;  // leaf: not held while an opener runs
  Opener fifo_ ABSL_GUARDED_BY(mu_);
  std::map<Key, Opener> devices_ ABSL_GUARDED_BY(mu_);
};

// For Inode::Open of a FIFO, device or socket node.
ErrnoOr<Ref<FileDescription>> OpenSpecial(Inode& inode, dev_t rdev, const OpenRequest& request);

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_SPECIAL_FILES_H_
