// Descriptors: close, dup, fcntl, locks, the general part of ioctl.

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#include <utility>

#include "sentry/fs/pipe/pipe_file.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/vfs/file_locks.h"

namespace cloister::syscalls {
namespace {

using task::Block;
using usermem::UserPtr;
using vfs::FileDescription;
using vfs::FileLocks;
using vfs::LockWait;
using wait::Poll;

// What close(2) does besides: POSIX locks of the process on the file go. Then the reference.
ErrnoOrVoid CloseFile(Task& task, Ref<FileDescription> file) {
  if (const Ref<vfs::Inode> inode = file->is_path_only() ? nullptr : file->inode(); inode) {
    if (FileLocks* const locks = inode->locks_if_any()) locks->Unlock({&task.files(), task.pid()}, {});
  }
  return file->Flush();
}

ErrnoOrVoid Close(Task& task, const SyscallArgs& args) {
  return CloseFile(task, TRY(task.files().Remove(args.Int(0))));
}

ErrnoOrVoid CloseRange(Task& task, const SyscallArgs& args) {
  const uint32_t first = args.Uint(0), last = args.Uint(1), flags = args.Uint(2);
  if (first > last || (flags & ~(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE))) return Errno::kInval;
  if (flags & CLOSE_RANGE_UNSHARE) task.Unshare(false, true);
  if (flags & CLOSE_RANGE_CLOEXEC) {
    task.files().SetCloexecRange(first, last);
    return {};
  }
  for (Ref<FileDescription>& file : task.files().RemoveRange(first, last)) {
    static_cast<void>(CloseFile(task, std::move(file)));
  }
  return {};
}

ErrnoOr<int> Dup(Task& task, const SyscallArgs& args) {
  return task.InstallFile(TRY(task.GetAnyFile(args.Int(0))), false);
}

ErrnoOr<int> DupTo(Task& task, int from, int to, bool cloexec) {
  Ref<FileDescription> file = TRY(task.GetAnyFile(from));
  if (to < 0) return Errno::kBadf;
  Ref<FileDescription> old =
      TRY(task.files().InstallAt(to, std::move(file), cloexec, task.Limit(RLIMIT_NOFILE).rlim_cur));
  if (old) static_cast<void>(CloseFile(task, std::move(old)));
  return to;
}

ErrnoOr<int> Dup2(Task& task, const SyscallArgs& args) {
  if (args.Int(0) == args.Int(1)) {
    TRY(task.GetAnyFile(args.Int(0)));
    return args.Int(1);
  }
  return DupTo(task, args.Int(0), args.Int(1), false);
}

ErrnoOr<int> Dup3(Task& task, const SyscallArgs& args) {
  if (args.Int(0) == args.Int(1) || (args.Int(2) & ~O_CLOEXEC)) return Errno::kInval;
  return DupTo(task, args.Int(0), args.Int(1), (args.Int(2) & O_CLOEXEC) != 0);
}

// A struct flock as bytes of the file. kInval for a range before the beginning, kOverflow past the end.
ErrnoOr<FileLocks::Range> RangeOf(FileDescription& file, const struct flock& lock) {
  int64_t base = 0;
  if (lock.l_whence == SEEK_CUR) {
    base = TRY(file.Seek(0, SEEK_CUR));
  } else if (lock.l_whence == SEEK_END) {
    base = static_cast<int64_t>(TRY(file.inode()->GetAttr()).stx_size);
  } else if (lock.l_whence != SEEK_SET) {
    return Errno::kInval;
  }
  int64_t start, end;
  if (__builtin_add_overflow(base, lock.l_start, &start)) return Errno::kOverflow;
  if (start < 0) return Errno::kInval;
  if (lock.l_len == 0) return FileLocks::Range{static_cast<uint64_t>(start), ~uint64_t{0}};
  if (__builtin_add_overflow(start, lock.l_len, &end)) return Errno::kOverflow;
  if (end < 0) return Errno::kInval;
  if (lock.l_len < 0) std::swap(start, end);
  return FileLocks::Range{static_cast<uint64_t>(start), static_cast<uint64_t>(end)};
}

constexpr int kLargeFile = 0100000;  // O_LARGEFILE of the kernel's, which glibc has as 0

// fcntl(2). Only F_SETLKW and its kin block.
struct FcntlCall {
  Answer answer = 0;
  Ref<FileDescription> file;  // set: a lock to wait for
  FileLocks::Owner owner;
  FileLocks::Type type = FileLocks::Type::kShared;
  FileLocks::Range range;
  LockWait lock_wait;

  static ErrnoOr<FcntlCall> Begin(Task& task, const SyscallArgs& args) {
    const Ref<FileDescription> file = TRY(task.GetAnyFile(args.Int(0)));
    const int command = args.Int(1);
    if (file->is_path_only() && command != F_DUPFD && command != F_DUPFD_CLOEXEC && command != F_GETFD &&
        command != F_SETFD && command != F_GETFL) {
      return Errno::kBadf;
    }
    FcntlCall call;
    switch (command) {
      case F_GETLK:
      case F_OFD_GETLK:
        call.answer = task::ToAnswer(TestLock(task, *file, args));
        return call;
      case F_SETLK:
      case F_OFD_SETLK:
      case F_SETLKW:
      case F_OFD_SETLKW:
        TRY_VOID(call.BeginLock(task, file, args));
        return call;
      default:
        call.answer = task::ToAnswer(Simple(task, *file, args));
        return call;
    }
  }

  static ErrnoOr<int64_t> Simple(Task& task, FileDescription& file, const SyscallArgs& args) {
    const int fd = args.Int(0);
    const uint64_t limit = task.Limit(RLIMIT_NOFILE).rlim_cur;
    switch (args.Int(1)) {
      case F_DUPFD:
      case F_DUPFD_CLOEXEC:
        if (args.Int(2) < 0 || static_cast<uint64_t>(args.Int(2)) >= limit) return Errno::kInval;
        return TRY(task.files().Install(Ref<FileDescription>(&file), args.Int(1) == F_DUPFD_CLOEXEC,
                                        args.Int(2), limit));
      case F_GETFD:
        return TRY(task.files().GetCloexec(fd)) ? FD_CLOEXEC : 0;
      case F_SETFD:
        TRY_VOID(task.files().SetCloexec(fd, (args.Int(2) & FD_CLOEXEC) != 0));
        return 0;
      case F_GETFL:
        // Linux has O_LARGEFILE in all that is opened by name (force_o_largefile).
        return file.flags() | (file.path() && !file.is_path_only() ? kLargeFile : 0);
      case F_SETFL:
        TRY_VOID(file.SetStatusFlags(args.Int(2)));
        return 0;
      case F_SETOWN:
        return SetOwner(task, file, args.Int(2));
      case F_SETOWN_EX:
        return SetOwnerEx(task, file, args);
      case F_GETOWN_EX:
        TRY_VOID(task.CopyOut(args.Ptr<f_owner_ex>(2),
                              f_owner_ex{static_cast<__pid_type>(file.owner_type.load()), file.owner_pid}));
        return 0;
      case F_GETOWN:
        return file.owner_type == F_OWNER_PGRP ? -file.owner_pid.load() : file.owner_pid.load();
      case F_SETSIG:
        if (args.Int(2) != 0 && !signal::IsValid(args.Int(2))) return Errno::kInval;
        file.owner_signal = args.Int(2);
        return 0;
      case F_GETSIG:
        return file.owner_signal;
      case F_GETLEASE:
        return F_UNLCK;
      case F_GET_SEALS:
        return TRY(file.Seals());
      case F_ADD_SEALS:
        TRY_VOID(file.AddSeals(args.Int(2)));
        return 0;
      case F_GETPIPE_SZ:
      case F_SETPIPE_SZ:
        return PipeSize(task, file, args);
      default:
        return Errno::kInval;
    }
  }

  static ErrnoOr<int64_t> PipeSize(Task& task, FileDescription& file, const SyscallArgs& args) {
    pipe::PipeFile* const pipe = file.AsPipe();
    if (pipe == nullptr) return Errno::kBadf;
    if (args.Int(1) == F_GETPIPE_SZ) return static_cast<int64_t>(pipe->channel().capacity());
    return static_cast<int64_t>(
        TRY(pipe->channel().SetCapacity(args.Uint(2), task.cred()->Has(CAP_SYS_RESOURCE))));
  }

  static bool Exists(Task& task, int type, pid_t id) {
    absl::MutexLock lock(&task.kernel().tree_mu());
    if (type == F_OWNER_TID) return task.kernel().FindTaskLocked(id) != nullptr;
    if (type == F_OWNER_PID) return task.kernel().FindGroupLocked(id) != nullptr;
    for (const Ref<task::ThreadGroup>& group : task.kernel().GroupsLocked()) {
      if (group->process_group && group->process_group->id() == id) return true;
    }
    return false;
  }

  static ErrnoOr<int64_t> SetOwner(Task& task, FileDescription& file, int who) {
    if (who == INT32_MIN) return Errno::kInval;
    if (who != 0 && !Exists(task, who < 0 ? F_OWNER_PGRP : F_OWNER_PID, who < 0 ? -who : who))
      return Errno::kSrch;
    file.owner_type = who < 0 ? F_OWNER_PGRP : F_OWNER_PID;
    file.owner_pid = who < 0 ? -who : who;
    return 0;
  }

  static ErrnoOr<int64_t> SetOwnerEx(Task& task, FileDescription& file, const SyscallArgs& args) {
    const f_owner_ex owner = TRY(task.CopyIn(args.Ptr<const f_owner_ex>(2)));
    if (owner.type != F_OWNER_TID && owner.type != F_OWNER_PID && owner.type != F_OWNER_PGRP)
      return Errno::kInval;
    if (owner.pid != 0 && !Exists(task, owner.type, owner.pid)) return Errno::kSrch;
    file.owner_type = owner.type;
    file.owner_pid = owner.pid;
    return 0;
  }

  static bool IsOfd(int command) {
    return command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
  }

  static FileLocks::Owner OwnerOf(Task& task, FileDescription& file, int command) {
    if (IsOfd(command)) return {&file, -1};
    return {&task.files(), task.pid()};
  }

  static ErrnoOr<int> TestLock(Task& task, FileDescription& file, const SyscallArgs& args) {
    struct flock lock = TRY(task.CopyIn(args.Ptr<const struct flock>(2)));
    if (lock.l_type != F_RDLCK && lock.l_type != F_WRLCK) return Errno::kInval;
    if (IsOfd(args.Int(1)) && lock.l_pid != 0) return Errno::kInval;
    const FileLocks::Range range = TRY(RangeOf(file, lock));
    const auto type = lock.l_type == F_RDLCK ? FileLocks::Type::kShared : FileLocks::Type::kExclusive;
    const auto conflict = file.inode()->locks().Test(OwnerOf(task, file, args.Int(1)), type, range);
    if (!conflict.has_value()) {
      lock.l_type = F_UNLCK;
    } else {
      lock.l_type = conflict->type == FileLocks::Type::kShared ? F_RDLCK : F_WRLCK;
      lock.l_whence = SEEK_SET;
      lock.l_start = static_cast<off_t>(conflict->range.first);
      lock.l_len = conflict->range.end == ~uint64_t{0}
                       ? 0
                       : static_cast<off_t>(conflict->range.end - conflict->range.first);
      lock.l_pid = conflict->owner.pid;
    }
    TRY_VOID(task.CopyOut(args.Ptr<struct flock>(2), lock));
    return 0;
  }

  ErrnoOrVoid BeginLock(Task& task, const Ref<FileDescription>& on, const SyscallArgs& args) {
    const struct flock lock = TRY(task.CopyIn(args.Ptr<const struct flock>(2)));
    if (IsOfd(args.Int(1)) && lock.l_pid != 0) return Errno::kInval;
    range = TRY(RangeOf(*on, lock));
    owner = OwnerOf(task, *on, args.Int(1));
    FileLocks& locks = on->inode()->locks();
    switch (lock.l_type) {
      case F_UNLCK:
        locks.Unlock(owner, range);
        return {};
      case F_RDLCK:
        if (!on->readable()) return Errno::kBadf;
        break;
      case F_WRLCK:
        if (!on->writable()) return Errno::kBadf;
        type = FileLocks::Type::kExclusive;
        break;
      default:
        return Errno::kInval;
    }
    if (args.Int(1) == F_SETLK || args.Int(1) == F_OFD_SETLK) return locks.Lock(owner, type, range);
    file = on;
    return {};
  }

  Outcome Step(Task&) {
    if (!file) return answer;
    FileLocks& locks = file->inode()->locks();
    const ErrnoOrVoid locked = locks.LockOrWait(owner, type, range, lock_wait);
    if (locked.ok() || locked.error() != Errno::kAgain) return task::ToAnswer(locked);
    Block block;
    block.on.push_back({Ref<RefCounted>(file), &locks.queue(), Poll::kIn});
    return block;
  }
};

struct FlockCall {
  Ref<FileDescription> file;
  int operation = 0;

  static ErrnoOr<FlockCall> Begin(Task& task, const SyscallArgs& args) {
    if (args.Int(1) & LOCK_MAND) return FlockCall{};  // taken and ignored, as since Linux 5.18
    const int kind = args.Int(1) & ~LOCK_NB;
    if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN) return Errno::kInval;
    return FlockCall{TRY(task.GetFile(args.Int(0))), args.Int(1)};
  }
  Outcome Step(Task&) {
    if (!file) return Answer(0);
    FileLocks& locks = file->inode()->locks();
    const int kind = operation & ~LOCK_NB;
    if (kind == LOCK_UN) {
      locks.Funlock(file.get());
      return Answer(0);
    }
    const ErrnoOrVoid locked =
        locks.Flock(file.get(), kind == LOCK_SH ? FileLocks::Type::kShared : FileLocks::Type::kExclusive);
    if (locked.ok() || locked.error() != Errno::kAgain || (operation & LOCK_NB))
      return task::ToAnswer(locked);
    Block block;
    block.on.push_back({Ref<RefCounted>(file), &locks.queue(), Poll::kIn});
    return block;
  }
};

// FIONREAD of a regular file. Linux: file_ioctl, which cuts off too.
ErrnoOr<int> LeftToRead(FileDescription& file) {
  const uint64_t size = TRY(file.inode()->GetAttr()).stx_size;
  return static_cast<int>(size - static_cast<uint64_t>(TRY(file.Seek(0, SEEK_CUR))));
}

ErrnoOr<int64_t> Ioctl(Task& task, const Ref<FileDescription>& file, const SyscallArgs& args) {
  const uint32_t command = args.Uint(1);
  switch (command) {
    case FIOCLEX:
    case FIONCLEX:
      TRY_VOID(task.files().SetCloexec(args.Int(0), command == FIOCLEX));
      return 0;
    case FIONBIO:
    case FIOASYNC: {
      const int on = TRY(task.CopyIn(args.Ptr<const int>(2)));
      const int flag = command == FIONBIO ? O_NONBLOCK : O_ASYNC;
      TRY_VOID(file->SetStatusFlags(on ? file->flags() | flag : file->flags() & ~flag));
      return 0;
    }
    case FIONREAD:
      if (file->AsMappable() == nullptr || file->inode()->type() != S_IFREG) break;
      TRY_VOID(task.CopyOut(args.Ptr<int>(2), TRY(LeftToRead(*file))));
      return 0;
    default:
      break;
  }
  const vfs::Caller caller = task.MakeCaller();
  return file->Ioctl(vfs::IoctlRequest{command, args.Raw(2), task.space(), caller});
}

// One command waits, whatever O_NONBLOCK says: that of a seccomp(2) supervisor for the next call.
struct IoctlCall {
  Ref<FileDescription> file;
  SyscallArgs args;

  static ErrnoOr<IoctlCall> Begin(Task& task, const SyscallArgs& args) {
    return IoctlCall{TRY(task.GetFile(args.Int(0))), args};
  }
  Outcome Step(Task& task) {
    const ErrnoOr<int64_t> result = Ioctl(task, file, args);
    const bool waits = !result.ok() && result.error() == Errno::kAgain && file->wait_queue() != nullptr &&
                       args.Uint(1) == SECCOMP_IOCTL_NOTIF_RECV;
    if (!waits) return task::ToAnswer(result);
    Block block;
    block.on.push_back({Ref<RefCounted>(file), file->wait_queue(), Poll::kIn});
    return block;
  }
};

constexpr Entry kEntries[] = {
    {SYS_close, Plain<Close>},
    {SYS_close_range, Plain<CloseRange>},
    {SYS_dup, Plain<Dup>},
    {SYS_dup2, Plain<Dup2>},
    {SYS_dup3, Plain<Dup3>},
    {SYS_fcntl, Blocking<FcntlCall>, Support::kPartial, "no leases, no directory notices"},
    {SYS_flock, Blocking<FlockCall>},
    {SYS_ioctl, Blocking<IoctlCall>, Support::kPartial, "what each kind of file has"},
};

}  // namespace

std::span<const Entry> DescriptorSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
