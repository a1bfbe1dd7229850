#ifndef CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_FS_H_
#define CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_FS_H_

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/vfs/inode.h"

namespace cloister::overlay {

// A file system and the directory in it from which on it is used. What Make returns is mounted by
// MakeRef<vfs::Mount>(layer.fs, vfs::Dentry::MakeRoot(layer.root), flags, source).
struct Layer {
  Ref<vfs::FileSystem> fs;
  Ref<vfs::Inode> root;
};

// A tree that looks like `lower` and may be changed; the changes go to `upper`. Linux: overlayfs
// with redirect_dir, index and metacopy.
//
// lower: is only read, and must not change as long as the overlay lives. The same file must always
//   be the same inode object, and directories' cookies lie between CookieDirectory::kFirstCookie
//   and 2^62.
// upper: writable, nobody else's, and one in which files live on without a name (a tmpfs). It is a
//   store of nodes and no tree: names, whiteouts and redirects are the overlay's own data, in
//   memory, and go with it. Every file that is changed or made counts against upper's limits.
//
// kNotDir where a root is no directory, kRofs where upper cannot be written.
ErrnoOr<Layer> Make(Layer lower, Layer upper);

}  // namespace cloister::overlay

#endif  // CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_FS_H_
