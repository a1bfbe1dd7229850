#include "sentry/vfs/permission.h"

#include <unistd.h>

namespace cloister::vfs {

ErrnoOrVoid CheckPermission(const auth::Credentials& cred, const Ownership& owner, int mask) {
  mask &= R_OK | W_OK | X_OK;
  mode_t granted = owner.mode;
  if (cred.fsuid == owner.uid) {
    granted >>= 6;
  } else if ((owner.mode & 070) != (owner.mode & 07) << 3 && cred.InGroup(owner.gid)) {
    granted >>= 3;
  }
  if ((mask & ~granted & 07) == 0) return {};
  if (S_ISDIR(owner.mode)) {
    if ((mask & W_OK) == 0 && cred.Has(CAP_DAC_READ_SEARCH)) return {};
    return cred.Has(CAP_DAC_OVERRIDE) ? Ok() : Errno::kAcces;
  }
  if (mask == R_OK && cred.Has(CAP_DAC_READ_SEARCH)) return {};
  const bool executable = (owner.mode & 0111) != 0;
  if (((mask & X_OK) == 0 || executable) && cred.Has(CAP_DAC_OVERRIDE)) return {};
  return Errno::kAcces;
}

bool IsOwnerOrCapable(const auth::Credentials& cred, const Ownership& owner) {
  return cred.fsuid == owner.uid || cred.Has(CAP_FOWNER);
}

ErrnoOrVoid CheckInode(const auth::Credentials& cred, Inode& inode, int mask) {
  return CheckPermission(cred, TRY(inode.GetOwnership()), mask);
}

ErrnoOrVoid CheckWritable(const Mount& mount) { return mount.read_only() ? Errno::kRofs : Ok(); }

ErrnoOrVoid MayCreateIn(const Caller& caller, const Path& directory) {
  if (directory.dentry()->deleted()) return Errno::kNoEnt;
  return CheckInode(*caller.cred, *directory.dentry()->inode(), W_OK | X_OK);
}

ErrnoOrVoid MayDelete(const Caller& caller, const Path& directory, const Dentry& victim,
                      bool want_directory) {
  if (victim.negative()) return Errno::kNoEnt;
  const auth::Credentials& cred = *caller.cred;
  const Ownership parent = TRY(directory.dentry()->inode()->GetOwnership());
  TRY_VOID(CheckPermission(cred, parent, W_OK | X_OK));
  if ((parent.mode & S_ISVTX) != 0 && !cred.Has(CAP_FOWNER) && cred.fsuid != parent.uid) {
    const Ownership owner = TRY(victim.inode()->GetOwnership());
    if (cred.fsuid != owner.uid) return Errno::kPerm;
  }
  if (want_directory && !victim.inode()->is_directory()) return Errno::kNotDir;
  if (!want_directory && victim.inode()->is_directory()) return Errno::kIsDir;
  if (directory.dentry()->deleted()) return Errno::kNoEnt;
  return {};
}

bool MayKeepSetGid(const auth::Credentials& cred, gid_t group) {
  return cred.InGroup(group) || cred.Has(CAP_FSETID);
}

mode_t WithoutSetId(const auth::Credentials& cred, const Ownership& owner) {
  mode_t mode = owner.mode & ~S_ISUID;
  if ((mode & S_ISGID) != 0 && ((mode & S_IXGRP) != 0 || !MayKeepSetGid(cred, owner.gid))) mode &= ~S_ISGID;
  return mode;
}

ErrnoOr<NewNode> MakeNewNode(const Caller& caller, Inode& directory, mode_t mode, dev_t rdev) {
  const Ownership parent = TRY(directory.GetOwnership());
  NewNode node{mode & ~(caller.umask & 0777), caller.cred->fsuid, caller.cred->fsgid, rdev};
  if ((parent.mode & S_ISGID) == 0) return node;
  node.gid = parent.gid;
  if (S_ISDIR(mode)) {
    node.mode |= S_ISGID;
  } else if ((node.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
             !MayKeepSetGid(*caller.cred, parent.gid)) {
    node.mode &= ~S_ISGID;
  }
  return node;
}

}  // namespace cloister::vfs
