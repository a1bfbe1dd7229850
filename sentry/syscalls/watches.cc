// inotify(7).

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "sentry/fs/event/inotify_file.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/vfs/operations.h"

namespace cloister::syscalls {
namespace {

using event::InotifyFile;
using vfs::FileDescription;

// Linux: ALL_INOTIFY_BITS.
constexpr uint32_t kKnown = IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR |
                            IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR |
                            IN_ONESHOT;

ErrnoOr<int> MakeInotify(Task& task, int flags) {
  if (flags & ~(IN_CLOEXEC | IN_NONBLOCK)) return Errno::kInval;
  return task.InstallFile(MakeRef<InotifyFile>(O_RDONLY | (flags & O_NONBLOCK), task.cred()),
                          (flags & IN_CLOEXEC) != 0);
}

ErrnoOr<int> InotifyInit(Task& task, const SyscallArgs&) { return MakeInotify(task, 0); }
ErrnoOr<int> InotifyInit1(Task& task, const SyscallArgs& args) { return MakeInotify(task, args.Int(0)); }

// The instance behind a descriptor; kInval for other files. `file` keeps it.
ErrnoOr<InotifyFile*> GetInotify(const Ref<FileDescription>& file) {
  event::AnonFile* const anon = file->AsAnon();
  InotifyFile* const inotify = anon != nullptr ? anon->AsInotify() : nullptr;
  if (inotify == nullptr) return Errno::kInval;
  return inotify;
}

ErrnoOr<int> InotifyAddWatch(Task& task, const SyscallArgs& args) {
  const uint32_t mask = args.Uint(2);
  if ((mask & kKnown) == 0 || (mask & ~kKnown) != 0) return Errno::kInval;
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE)) return Errno::kInval;
  InotifyFile* const inotify = TRY(GetInotify(file));
  const std::string name = TRY(task.CopyInPath(args.Addr(1)));
  const vfs::Caller caller = task.MakeCaller();
  vfs::WalkOptions options;
  options.follow_last = !(mask & IN_DONT_FOLLOW);
  options.want_directory = (mask & IN_ONLYDIR) != 0;
  const vfs::Path path = TRY(vfs::Resolve(caller, caller.cwd, name, options));
  const Ref<vfs::Inode>& inode = path.dentry()->inode();
  TRY_VOID(vfs::CheckPermission(*caller.cred, TRY(inode->GetOwnership()), R_OK));
  return inotify->core().Watch(inode, mask);
}

ErrnoOrVoid InotifyRmWatch(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  return TRY(GetInotify(file))->core().Unwatch(args.Int(1));
}

constexpr const char* kNote = "IN_UNMOUNT is never told; others' changes of shared mounts are not seen";

constexpr Entry kEntries[] = {
    {SYS_inotify_init, Plain<InotifyInit>},
    {SYS_inotify_init1, Plain<InotifyInit1>},
    {SYS_inotify_add_watch, Plain<InotifyAddWatch>, Support::kPartial, kNote},
    {SYS_inotify_rm_watch, Plain<InotifyRmWatch>},
};

}  // namespace

std::span<const Entry> WatchSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
