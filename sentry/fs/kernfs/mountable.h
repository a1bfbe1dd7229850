#ifndef CLOISTER_SENTRY_FS_KERNFS_MOUNTABLE_H_
#define CLOISTER_SENTRY_FS_KERNFS_MOUNTABLE_H_

#include "base/own/ref.h"
#include "sentry/vfs/inode.h"

namespace cloister::kernfs {

// What it takes to mount a file system: MakeRef<vfs::Mount>(fs, vfs::Dentry::MakeRoot(root), flags, source).
struct Mountable {
  Ref<vfs::FileSystem> fs;
  Ref<vfs::Inode> root;
};

}  // namespace cloister::kernfs

#endif  // CLOISTER_SENTRY_FS_KERNFS_MOUNTABLE_H_
