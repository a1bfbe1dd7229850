#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"
#include "sentry/vfs/permission.h"

namespace cloister::vfs {

ErrnoOrVoid Unlink(const Caller& caller, const Path& start, std::string_view path) {
  const Parent parent = TRY(ResolveParent(caller, start, path));
  if (parent.name == "." || parent.name == ".." || parent.name == "/") return Errno::kIsDir;
  Dentry& directory = *parent.directory.dentry();
  Ref<Inode> inode;  // outlives the lock: may be destroyed here
  Ref<Dentry> victim;
  absl::MutexLock lock(&directory.mu());
  victim = TRY(directory.ChildLocked(parent.name));
  if (victim->negative()) return Errno::kNoEnt;
  if (parent.trailing_slash) return victim->inode()->is_directory() ? Errno::kIsDir : Errno::kNotDir;
  TRY_VOID(CheckWritable(*parent.directory.mount()));
  TRY_VOID(MayDelete(caller, parent.directory, *victim, false));
  if (caller.mounts->IsMountPoint(*victim)) return Errno::kBusy;
  TRY_VOID(directory.inode()->AsDirectory()->Unlink(parent.name, *victim->inode()));
  directory.DropChildLocked(parent.name);
  inode = victim->inode();
  FileEvents::TellUnlinked(*inode);
  victim.reset();  // where nobody has it open, its watches end before the directory hears of it
  FileEvents::TellOfEntry(*directory.inode(), parent.name, *inode, IN_DELETE);
  return {};
}

ErrnoOrVoid RemoveDirectory(const Caller& caller, const Path& start, std::string_view path) {
  const Parent parent = TRY(ResolveParent(caller, start, path));
  if (parent.name == ".") return Errno::kInval;
  if (parent.name == "..") return Errno::kNotEmpty;
  if (parent.name == "/") return Errno::kBusy;
  Dentry& directory = *parent.directory.dentry();
  Ref<Inode> inode;
  Ref<Dentry> victim;
  absl::MutexLock lock(&directory.mu());
  victim = TRY(directory.ChildLocked(parent.name));
  if (victim->negative()) return Errno::kNoEnt;
  TRY_VOID(CheckWritable(*parent.directory.mount()));
  TRY_VOID(MayDelete(caller, parent.directory, *victim, true));
  if (caller.mounts->IsMountPoint(*victim)) return Errno::kBusy;
  inode = victim->inode();
  {
    // Nobody may make a name in it meanwhile.
    absl::MutexLock victim_lock(&victim->mu());
    TRY_VOID(directory.inode()->AsDirectory()->Rmdir(parent.name, *inode));
    directory.DropChildLocked(parent.name);
  }
  victim->ForgetOrphans();
  victim.reset();
  FileEvents::TellOfEntry(*directory.inode(), parent.name, *inode, IN_DELETE);
  return {};
}

}  // namespace cloister::vfs
