#include <linux/fs.h>
#include <unistd.h>

#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"
#include "sentry/vfs/permission.h"

namespace cloister::vfs {
namespace {

bool IsPlainName(std::string_view name) { return name != "." && name != ".." && name != "/"; }

// Locks one or two directories and possibly a victim, in the order that dentry.h asks for.
// rename_mutex() is held exclusively: who is whose ancestor does not change. Not analysed: whether these
// are one, two or three locks, and in which order, shows at run time.
class DirectoryLocks {
 public:
  DirectoryLocks(Dentry& one, Dentry& other) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const bool swap = other.IsAtOrBelow(one) ? false : one.IsAtOrBelow(other) || &other < &one;
    first_ = swap ? &other : &one;
    second_ = &one == &other ? nullptr : (swap ? &one : &other);
    first_->mu().Lock();
    if (second_ != nullptr) second_->mu().Lock();
  }
  // A directory that is about to be replaced; a child of one of the two, so it comes last.
  void LockVictim(Dentry& victim) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (&victim == first_ || &victim == second_) return;
    victim_ = Ref<Dentry>(&victim);
    victim_->mu().Lock();
  }
  ~DirectoryLocks() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (victim_) victim_->mu().Unlock();
    if (second_ != nullptr) second_->mu().Unlock();
    first_->mu().Unlock();
  }
  DirectoryLocks(const DirectoryLocks&) = delete;
  DirectoryLocks& operator=(const DirectoryLocks&) = delete;

 private:
  Dentry* first_;
  Dentry* second_;
  Ref<Dentry> victim_;
};

struct Names {
  const Parent& from;
  const Parent& to;
  const Dentry& old;
  const Dentry& target;
  uint32_t flags;
  bool exchange() const { return (flags & RENAME_EXCHANGE) != 0; }
};

// What do_renameat2 checks of the two names before vfs_rename.
ErrnoOrVoid CheckNames(const Names& names) ABSL_SHARED_LOCKS_REQUIRED(Dentry::rename_mutex()) {
  const Dentry& from = *names.from.directory.dentry();
  const Dentry& to = *names.to.directory.dentry();
  if (names.old.negative()) return Errno::kNoEnt;
  if ((names.flags & RENAME_NOREPLACE) != 0 && !names.target.negative()) return Errno::kExist;
  if (names.exchange()) {
    if (names.target.negative()) return Errno::kNoEnt;
    if (!names.target.inode()->is_directory() && names.to.trailing_slash) return Errno::kNotDir;
  }
  if (!names.old.inode()->is_directory()) {
    if (names.from.trailing_slash) return Errno::kNotDir;
    if (!names.exchange() && names.to.trailing_slash) return Errno::kNotDir;
  }
  if (to.IsAtOrBelow(names.old)) return Errno::kInval;
  if (!names.target.negative() && from.IsAtOrBelow(names.target)) {
    return names.exchange() ? Errno::kInval : Errno::kNotEmpty;
  }
  return {};
}

// Linux: the first half of vfs_rename.
ErrnoOrVoid CheckRename(const Caller& caller, const Names& names) {
  const bool is_directory = names.old.inode()->is_directory();
  TRY_VOID(MayDelete(caller, names.from.directory, names.old, is_directory));
  if (names.target.negative()) {
    TRY_VOID(MayCreateIn(caller, names.to.directory));
  } else {
    const bool want_directory = names.exchange() ? names.target.inode()->is_directory() : is_directory;
    TRY_VOID(MayDelete(caller, names.to.directory, names.target, want_directory));
  }
  if (names.from.directory.dentry() != names.to.directory.dentry()) {
    // A directory that moves gets a new "..": it must be writable itself.
    if (is_directory) TRY_VOID(CheckInode(*caller.cred, *names.old.inode(), W_OK));
    if (names.exchange() && names.target.inode()->is_directory()) {
      TRY_VOID(CheckInode(*caller.cred, *names.target.inode(), W_OK));
    }
  }
  if (caller.mounts->IsMountPoint(names.old) || caller.mounts->IsMountPoint(names.target))
    return Errno::kBusy;
  return {};
}

ErrnoOrVoid CheckFlags(const Caller& caller, uint32_t flags) {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) != 0) return Errno::kInval;
  if ((flags & RENAME_EXCHANGE) != 0 && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) != 0)
    return Errno::kInval;
  if ((flags & RENAME_WHITEOUT) != 0 && !caller.cred->Has(CAP_MKNOD)) return Errno::kPerm;
  return {};
}

// Linux: fsnotify_move. `replaced` is null but where a name was taken over.
void TellMoved(const Parent& from, const Parent& to, const Inode& moved, Inode* replaced) {
  const uint32_t cookie = FileEvents::NextCookie();
  FileEvents::TellOfEntry(*from.directory.dentry()->inode(), from.name, moved, IN_MOVED_FROM, cookie);
  FileEvents::TellOfEntry(*to.directory.dentry()->inode(), to.name, moved, IN_MOVED_TO, cookie);
  if (replaced != nullptr) FileEvents::TellUnlinked(*replaced);
  FileEvents::Tell(moved, IN_MOVE_SELF);
}

// `locks` are held; not analysed, see there.
ErrnoOrVoid RenameLocked(const Caller& caller, const Parent& from, const Parent& to, uint32_t flags,
                         DirectoryLocks& locks, Ref<Dentry>* keep) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  Dentry& old_directory = *from.directory.dentry();
  Dentry& new_directory = *to.directory.dentry();
  const Ref<Dentry> old = TRY(old_directory.ChildLocked(from.name));
  const Ref<Dentry> target = TRY(new_directory.ChildLocked(to.name));
  *keep = target;
  const Names names{from, to, *old, *target, flags};
  TRY_VOID(CheckNames(names));
  // Two names of one file: nothing happens, by POSIX' wish.
  if (old->inode() == target->inode()) return {};
  TRY_VOID(CheckRename(caller, names));
  if (!target->negative() && target->inode()->is_directory()) locks.LockVictim(*target);
  TRY_VOID(old_directory.inode()->AsDirectory()->Rename(from.name, *old->inode(),
                                                        *new_directory.inode()->AsDirectory(), to.name,
                                                        target->inode().get(), flags));
  if (names.exchange()) {
    Dentry::ExchangeLocked(old_directory, from.name, new_directory, to.name);
    TellMoved(from, to, *old->inode(), nullptr);
    TellMoved(to, from, *target->inode(), nullptr);
  } else {
    Dentry::MoveLocked(old_directory, from.name, new_directory, to.name);
    TellMoved(from, to, *old->inode(), target->inode().get());
  }
  return {};
}

}  // namespace

ErrnoOrVoid Rename(const Caller& caller, const Path& old_start, std::string_view old_path,
                   const Path& new_start, std::string_view new_path, uint32_t flags) {
  TRY_VOID(CheckFlags(caller, flags));
  const Parent from = TRY(ResolveParent(caller, old_start, old_path));
  const Parent to = TRY(ResolveParent(caller, new_start, new_path));
  if (from.directory.mount() != to.directory.mount()) return Errno::kXDev;
  if (!IsPlainName(from.name)) return Errno::kBusy;
  if (!IsPlainName(to.name)) return (flags & RENAME_NOREPLACE) != 0 ? Errno::kExist : Errno::kBusy;
  TRY_VOID(CheckWritable(*from.directory.mount()));
  Ref<Dentry> replaced;  // released after the locks
  {
    absl::MutexLock rename_lock(&Dentry::rename_mutex());
    DirectoryLocks locks(*from.directory.dentry(), *to.directory.dentry());
    TRY_VOID(RenameLocked(caller, from, to, flags, locks, &replaced));
  }
  if (replaced->deleted()) replaced->ForgetOrphans();
  return {};
}

}  // namespace cloister::vfs
