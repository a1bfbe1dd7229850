// Reading and writing open files.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/transfer.h"

namespace cloister::syscalls {
namespace {

using vfs::FileDescription;

template <bool kWrite>
struct ReadWriteCall : Transfer {
  static ErrnoOr<ReadWriteCall> Begin(Task& task, const SyscallArgs& args) {
    return ReadWriteCall{TRY(On(task, args.Int(0), kWrite, task.Buffer(args.Addr(1), args.Size(2))))};
  }
};

// Whether a file has a position or not goes before most that can be wrong. Linux: FMODE_PREAD.
Errno WithoutPosition(Task& task, int fd, Errno error) {
  const ErrnoOr<Ref<FileDescription>> file = task.GetFile(fd);
  if (!file.ok()) return file.error();
  const ErrnoOr<int64_t> position = (*file)->Seek(0, SEEK_CUR);
  return !position.ok() && position.error() == Errno::kSPipe ? Errno::kSPipe : error;
}

template <bool kWrite>
struct PositionedCall : Transfer {
  static ErrnoOr<PositionedCall> Begin(Task& task, const SyscallArgs& args) {
    if (args.Long(3) < 0) return Errno::kInval;
    ErrnoOr<Transfer> transfer = On(task, args.Int(0), kWrite, task.Buffer(args.Addr(1), args.Size(2)));
    if (!transfer.ok()) return WithoutPosition(task, args.Int(0), transfer.error());
    PositionedCall call{*std::move(transfer)};
    TRY_VOID(call.SetOffset(args.Long(3)));
    return call;
  }
};

template <bool kWrite>
struct VectorCall : Transfer {
  static ErrnoOr<VectorCall> Begin(Task& task, const SyscallArgs& args) {
    return VectorCall{TRY(On(task, args.Int(0), kWrite, task.BufferOfIovec(args.Addr(1), args.Size(2))))};
  }
};

template <bool kWrite>
struct PositionedVectorCall : Transfer {
  static ErrnoOr<PositionedVectorCall> Begin(Task& task, const SyscallArgs& args) {
    if (args.Long(3) < 0) return Errno::kInval;
    ErrnoOr<Transfer> transfer =
        On(task, args.Int(0), kWrite, task.BufferOfIovec(args.Addr(1), args.Size(2)));
    if (!transfer.ok()) return WithoutPosition(task, args.Int(0), transfer.error());
    PositionedVectorCall call{*std::move(transfer)};
    TRY_VOID(call.SetOffset(args.Long(3)));
    return call;
  }
};

template <bool kWrite>
struct FlaggedVectorCall : Transfer {
  static ErrnoOr<FlaggedVectorCall> Begin(Task& task, const SyscallArgs& args) {
    const bool positioned = args.Long(3) != kAtPosition;
    if (args.Long(3) < 0 && positioned) return Errno::kInval;
    ErrnoOr<Transfer> transfer =
        On(task, args.Int(0), kWrite, task.BufferOfIovec(args.Addr(1), args.Size(2)));
    if (!transfer.ok() && positioned) return WithoutPosition(task, args.Int(0), transfer.error());
    FlaggedVectorCall call{TRY(std::move(transfer))};
    if (positioned) TRY_VOID(call.SetOffset(args.Long(3)));
    if (!call.buffer.empty()) TRY_VOID(call.SetFlags(args.Int(5)));
    return call;
  }
};

ErrnoOr<int64_t> Lseek(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  if (args.Int(2) < SEEK_SET || args.Int(2) > SEEK_HOLE) return Errno::kInval;
  return file->Seek(args.Long(1), args.Int(2));
}

template <bool kDataOnly>
ErrnoOrVoid Fsync(Task& task, const SyscallArgs& args) {
  return TRY(task.GetFile(args.Int(0)))->Sync(kDataOnly);
}

Answer Sync(Task&, const SyscallArgs&) { return 0; }

ErrnoOrVoid SyncFileRange(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  int64_t end;
  const bool in_range = args.Long(1) >= 0 && !__builtin_add_overflow(args.Long(1), args.Long(2), &end);
  if (!in_range || end < args.Long(1) || (args.Uint(3) & ~7u)) return Errno::kInval;
  const Ref<vfs::Inode> inode = file->inode();
  const mode_t type = inode ? inode->type() : 0;
  if (type != S_IFREG && type != S_IFBLK && type != S_IFDIR && type != S_IFLNK) return Errno::kSPipe;
  return file->Sync(true);
}

ErrnoOrVoid Fadvise(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  const Ref<vfs::Inode> inode = file->inode();
  if (inode && inode->type() == S_IFIFO) return Errno::kSPipe;
  if (args.Int(3) < 0 || args.Int(3) > 5 || args.Long(2) < 0) return Errno::kInval;
  return {};  // advice: a file here is read ahead by the host as it likes
}

ErrnoOrVoid Readahead(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  if (!file->readable()) return Errno::kBadf;
  if (file->AsMappable() == nullptr) return Errno::kInval;
  return {};
}

constexpr Entry kEntries[] = {
    {SYS_read, Blocking<ReadWriteCall<false>>},
    {SYS_write, Blocking<ReadWriteCall<true>>},
    {SYS_pread64, Blocking<PositionedCall<false>>},
    {SYS_pwrite64, Blocking<PositionedCall<true>>},
    {SYS_readv, Blocking<VectorCall<false>>},
    {SYS_writev, Blocking<VectorCall<true>>},
    {SYS_preadv, Blocking<PositionedVectorCall<false>>},
    {SYS_pwritev, Blocking<PositionedVectorCall<true>>},
    {SYS_preadv2, Blocking<FlaggedVectorCall<false>>},
    {SYS_pwritev2, Blocking<FlaggedVectorCall<true>>},
    {SYS_lseek, Plain<Lseek>},
    {SYS_fsync, Plain<Fsync<false>>},
    {SYS_fdatasync, Plain<Fsync<true>>},
    {SYS_sync, Plain<Sync>, Support::kPartial, "files are the host's: fsync writes them out"},
    {SYS_syncfs, Plain<Fsync<false>>, Support::kPartial, "writes out the one file"},
    {SYS_sync_file_range, Plain<SyncFileRange>},
    {SYS_fadvise64, Plain<Fadvise>},
    {SYS_readahead, Plain<Readahead>},
};

}  // namespace

std::span<const Entry> FileIoSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
