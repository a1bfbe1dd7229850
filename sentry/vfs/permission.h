#ifndef CLOISTER_SENTRY_VFS_PERMISSION_H_
#define CLOISTER_SENTRY_VFS_PERMISSION_H_

#include "base/error/errno_or.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/operations.h"

// The rules that stand between a caller and a change. Used by operations' files alone.

namespace cloister::vfs {

// R_OK, W_OK, X_OK on the inode itself.
ErrnoOrVoid CheckInode(const auth::Credentials& cred, Inode& inode, int mask);
// kRofs where the mount or its file system refuses changes.
ErrnoOrVoid CheckWritable(const Mount& mount);

// A new name in directory: kNoEnt if the directory is gone, else write and search permission.
// Directory's dentry lock held.
ErrnoOrVoid MayCreateIn(const Caller& caller, const Path& directory);
// Linux: may_delete. victim is a child of directory; want_directory: rmdir, or what a directory is
// renamed over. Directory's dentry lock held.
ErrnoOrVoid MayDelete(const Caller& caller, const Path& directory, const Dentry& victim, bool want_directory);

// Owner, group and mode of a new node in directory: umask, set-group-ID inheritance.
ErrnoOr<NewNode> MakeNewNode(const Caller& caller, Inode& directory, mode_t mode, dev_t rdev);

// Whether the caller may keep or set the set-group-ID bit on a file of that group.
bool MayKeepSetGid(const auth::Credentials& cred, gid_t group);
// The mode after set-id bits that a write or a change of owner drops.
mode_t WithoutSetId(const auth::Credentials& cred, const Ownership& owner);

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_PERMISSION_H_
