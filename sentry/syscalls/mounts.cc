// The tree of mounts: mount, umount2, pivot_root.

#include <limits.h>
#include <sys/mount.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "sentry/fs/tmp/tmp_fs.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/vfs/file_system_types.h"
#include "sentry/vfs/mount_operations.h"
#include "sentry/vfs/operations.h"

namespace cloister::syscalls {
namespace {

using vfs::Caller;
using vfs::Mount;
using vfs::Path;

constexpr uint64_t kNoUser = uint64_t{1} << 31;  // MS_NOUSER
constexpr uint64_t kPropagation = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
constexpr int kUmountFlags = MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW;

// Linux: may_mount.
bool MayMount(const Task& task) { return task.cred()->Has(CAP_SYS_ADMIN); }

// An argument of mount(2) that may be missing.
ErrnoOr<std::string> OptionalText(const Task& task, uint64_t addr) {
  if (addr == 0) return std::string();
  return usermem::CopyInString(task.space(), addr, PATH_MAX, Errno::kInval);
}

ErrnoOr<Path> Lookup(const Task& task, const Caller& caller, uint64_t addr) {
  const std::string path = TRY(task.CopyInPath(addr));
  return vfs::Resolve(caller, caller.cwd, path, {});
}

// mount(2)'s arguments.
struct MountRequest {
  std::string source, type, options;
  uint64_t flags = 0;  // MS_…, all

  // The flags of the mount itself: path_mount. Reading changes access times rarely unless said otherwise.
  uint64_t OfMount() const {
    uint64_t kept = flags & vfs::kMountFlags;
    if (kept & MS_STRICTATIME) return kept & ~uint64_t{MS_NOATIME | MS_RELATIME};
    return kept & MS_NOATIME ? kept & ~uint64_t{MS_RELATIME} : kept | MS_RELATIME;
  }
};

ErrnoOr<Ref<Mount>> MakeTmpfs(const Task& task, const MountRequest& request) {
  tmp::TmpOptions defaults = tmp::TmpOptions::DefaultsFor(task.kernel().machine().total_memory);
  defaults.uid = task.cred()->fsuid;
  defaults.gid = task.cred()->fsgid;
  const tmp::TmpOptions options = TRY(tmp::ParseTmpOptions(request.options, defaults));
  return tmp::MountTmp(options, request.OfMount(), request.source);
}

ErrnoOrVoid MountNew(const Task& task, const Caller& caller, MountRequest request, const Path& at) {
  if (request.type.empty()) return Errno::kInval;
  if (request.source.empty()) request.source = "none";
  if (request.type == "tmpfs") return vfs::AddMount(caller, TRY(MakeTmpfs(task, request)), at);
  const vfs::NewMount wanted = {caller, request.source, request.options, request.OfMount()};
  return vfs::AddMount(caller, TRY(vfs::FileSystemTypes::Get().Make(request.type, wanted)), at);
}

// MS_REMOUNT without MS_BIND may give the file system other options; here it has those it was made with.
ErrnoOrVoid CheckUnchanged(vfs::FileSystem& fs, const std::string& options) {
  const std::string now = fs.OptionsText();
  const std::vector<std::string> known = absl::StrSplit(now, ',');
  for (const std::string& option :
       std::vector<std::string>(absl::StrSplit(options, ',', absl::SkipEmpty()))) {
    if (std::find(known.begin(), known.end(), option) == known.end()) return Errno::kInval;
  }
  return {};
}

ErrnoOrVoid Remount(const Caller& caller, const MountRequest& request, const Path& at) {
  if (!(request.flags & MS_BIND)) TRY_VOID(CheckUnchanged(at.mount()->fs(), request.options));
  const bool any_atime = (request.flags & vfs::kAtimeFlags) != 0;
  const uint64_t flags = any_atime ? request.OfMount() : request.flags & vfs::kMountFlags;
  return vfs::ChangeMountFlags(caller, at, flags);
}

ErrnoOrVoid Propagate(const Caller& caller, const MountRequest& request, const Path& at) {
  const uint64_t type = request.flags & ~uint64_t{MS_REC | MS_SILENT};
  if ((type & ~kPropagation) || (type & (type - 1))) return Errno::kInval;
  if (type == MS_SHARED) return Errno::kInval;  // there are no peers to share with
  return vfs::ChangePropagation(caller, at, type, (request.flags & MS_REC) != 0);
}

// mount(2). Linux: path_mount.
ErrnoOrVoid MountAt(Task& task, const SyscallArgs& args) {
  MountRequest request;
  request.type = TRY(OptionalText(task, args.Addr(2)));
  request.source = TRY(OptionalText(task, args.Addr(0)));
  request.options = TRY(OptionalText(task, args.Addr(4)));
  request.flags = args.Raw(3);
  if ((request.flags & MS_MGC_MSK) == MS_MGC_VAL) request.flags &= ~uint64_t{MS_MGC_MSK};
  const Caller caller = task.MakeCaller();
  const Path at = TRY(Lookup(task, caller, args.Addr(1)));
  if (request.flags & kNoUser) return Errno::kInval;
  if (!MayMount(task)) return Errno::kPerm;
  if (request.flags & MS_REMOUNT) return Remount(caller, request, at);
  const bool from_path = (request.flags & MS_BIND) || (request.flags & (kPropagation | MS_MOVE)) == MS_MOVE;
  if (!from_path && (request.flags & kPropagation)) return Propagate(caller, request, at);
  if (!from_path) return MountNew(task, caller, std::move(request), at);
  if (request.source.empty()) return Errno::kInval;
  const Path from = TRY(vfs::Resolve(caller, caller.cwd, request.source, {}));
  if (!(request.flags & MS_BIND)) return vfs::MoveMount(caller, from, at);
  return vfs::BindMount(caller, from, at, (request.flags & MS_REC) != 0);
}

// umount2(2).
ErrnoOrVoid Umount(Task& task, const SyscallArgs& args) {
  const int flags = args.Int(1);
  if (flags & ~kUmountFlags) return Errno::kInval;
  const std::string path = TRY(task.CopyInPath(args.Addr(0)));
  const Caller caller = task.MakeCaller();
  vfs::WalkOptions options;
  options.follow_last = !(flags & UMOUNT_NOFOLLOW);
  Path at = TRY(vfs::Resolve(caller, caller.cwd, path, options));
  if (!MayMount(task)) return Errno::kPerm;
  if (flags & MNT_EXPIRE) return Errno::kInval;
  return vfs::Unmount(caller, std::move(at), (flags & MNT_DETACH) != 0);
}

// Root and working directory of every task that had the old root. Linux: chroot_fs_refs.
void MoveTasks(Task& task, const Path& from, const Path& to) {
  std::vector<Ref<task::FsContext>> contexts;
  {
    absl::MutexLock lock(&task.kernel().tree_mu());
    for (const Ref<task::ThreadGroup>& group : task.kernel().GroupsLocked()) {
      for (const Task* member : group->tasks) contexts.push_back(member->GetFs());
    }
  }
  for (const Ref<task::FsContext>& context : contexts) {
    if (context) context->Replace(from, to);
  }
}

// pivot_root(2).
ErrnoOrVoid PivotRoot(Task& task, const SyscallArgs& args) {
  if (!MayMount(task)) return Errno::kPerm;
  const std::string new_name = TRY(task.CopyInPath(args.Addr(0)));
  const std::string old_name = TRY(task.CopyInPath(args.Addr(1)));
  const Caller caller = task.MakeCaller();
  const Path new_root = TRY(vfs::Resolve(caller, caller.cwd, new_name, {.want_directory = true}));
  const Path put_old = TRY(vfs::Resolve(caller, caller.cwd, old_name, {.want_directory = true}));
  TRY_VOID(vfs::PivotRoot(caller, new_root, put_old));
  MoveTasks(task, caller.root, new_root);
  return {};
}

constexpr const char* kMountNote =
    "MS_SHARED is refused; a remount changes the one mount, not its file system";
constexpr const char* kNoDescriptors = "ENOSYS: mounts have no descriptors";

constexpr Entry kEntries[] = {
    {SYS_mount, Plain<MountAt>, Support::kPartial, kMountNote},
    {SYS_umount2, Plain<Umount>, Support::kPartial, "MNT_EXPIRE is refused"},
    {SYS_pivot_root, Plain<PivotRoot>},
    {SYS_open_tree, Fails<Errno::kNoSys>, Support::kUnsupported, kNoDescriptors},
    {SYS_move_mount, Fails<Errno::kNoSys>, Support::kUnsupported, kNoDescriptors},
    {SYS_fsopen, Fails<Errno::kNoSys>, Support::kUnsupported, kNoDescriptors},
    {SYS_fsconfig, Fails<Errno::kNoSys>, Support::kUnsupported, kNoDescriptors},
    {SYS_fsmount, Fails<Errno::kNoSys>, Support::kUnsupported, kNoDescriptors},
    {SYS_fspick, Fails<Errno::kNoSys>, Support::kUnsupported, kNoDescriptors},
    {SYS_mount_setattr, Fails<Errno::kNoSys>, Support::kUnsupported, kNoDescriptors},
};

}  // namespace

std::span<const Entry> MountSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
