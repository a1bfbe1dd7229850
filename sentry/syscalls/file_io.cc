// Reading and writing open files.

#include <linux/fs.h>
#include <sys/uio.h>

#include <algorithm>
#include <utility>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"

namespace cloister::syscalls {
namespace {

using task::Block;
using task::OrBlock;
using usermem::UserBuffer;
using vfs::FileDescription;
using wait::Poll;

// An offset given as one argument (pread64) or as two halves (preadv): the low one has it all on x86-64.
constexpr int64_t kAtPosition = -1;

// All the calls that read or write, once their arguments are in.
struct Transfer {
  Ref<FileDescription> file;
  UserBuffer buffer;
  int64_t offset = kAtPosition;
  bool write = false;
  bool nowait = false;  // RWF_NOWAIT
  bool append = false;  // RWF_APPEND
  bool sync = false;    // RWF_SYNC, RWF_DSYNC
  size_t total = 0;     // written before it blocked

  static ErrnoOr<Transfer> On(Task& task, int fd, bool write, ErrnoOr<UserBuffer> buffer) {
    Transfer transfer;
    transfer.file = TRY(task.GetFile(fd));
    if (write ? !transfer.file->writable() : !transfer.file->readable()) return Errno::kBadf;
    transfer.buffer = TRY(std::move(buffer));
    transfer.write = write;
    return transfer;
  }

  ErrnoOr<size_t> Once(Task& task) {
    if (!write) return offset == kAtPosition ? file->Read(buffer) : file->ReadAt(buffer, offset);
    TRY_VOID(LimitSize(task));
    if (file->AsMappable() != nullptr && !task.cred()->Has(CAP_FSETID)) {
      TRY_VOID(vfs::ClearSetIdForWrite(task.MakeCaller(), *file));
    }
    // pwrite(2), BUGS: O_APPEND wins over the offset.
    if (append || (offset != kAtPosition && Appends())) {
      int64_t end;
      const size_t done = TRY(file->Append(buffer, &end));
      if (offset == kAtPosition) TRY(file->Seek(end, SEEK_SET));
      return done;
    }
    return offset == kAtPosition ? file->Write(buffer) : file->WriteAt(buffer, offset);
  }

  bool Appends() const { return (file->flags() & O_APPEND) != 0 && file->AsMappable() != nullptr; }

  // RLIMIT_FSIZE. Linux: generic_write_checks.
  ErrnoOrVoid LimitSize(Task& task) {
    const uint64_t limit = task.Limit(RLIMIT_FSIZE).rlim_cur;
    if (limit == RLIM_INFINITY || file->AsMappable() == nullptr) return {};
    int64_t at = offset;
    if (append || Appends()) {
      at = static_cast<int64_t>(TRY(file->inode()->GetAttr()).stx_size);
    } else if (offset == kAtPosition) {
      at = TRY(file->Seek(0, SEEK_CUR));
    }
    if (static_cast<uint64_t>(at) >= limit) {
      task.Raise(SIGXFSZ);
      return Errno::kFBig;
    }
    buffer.Truncate(std::min<uint64_t>(buffer.size(), limit - static_cast<uint64_t>(at)));
    return {};
  }

  Outcome Step(Task& task) {
    ErrnoOr<size_t> result = Once(task);
    if (result.ok() && *result > 0 && file->path()) {
      vfs::FileEvents::TellPath(file->path(), write ? IN_MODIFY : IN_ACCESS);
    }
    if (!write || !result.ok()) {
      if (!result.ok() && result.error() == Errno::kPipe && write) {
        if (total > 0) return Answer(static_cast<int64_t>(total));
        task.Raise(SIGPIPE);
      }
      return Ending(result);
    }
    total += *result;
    // A blocking write to a stream goes on until all is written.
    const bool stream = file->wait_queue() != nullptr;
    if (stream && !buffer.empty() && !file->nonblocking() && !nowait && *result > 0) return Step(task);
    if (sync) static_cast<void>(file->Sync(true));
    return Answer(static_cast<int64_t>(total));
  }

  Outcome Ending(const ErrnoOr<size_t>& result) {
    if (!result.ok() && result.error() == Errno::kAgain) {
      if (file->nonblocking() || nowait || file->wait_queue() == nullptr) {
        if (total > 0) return Answer(static_cast<int64_t>(total));
        return Answer(Errno::kAgain);
      }
      Block block;
      block.on.push_back({Ref<RefCounted>(file), file->wait_queue(), write ? Poll::kOut : Poll::kIn});
      if (total > 0) block.at_signal = static_cast<int64_t>(total);
      return block;
    }
    if (!result.ok() && total > 0) return Answer(static_cast<int64_t>(total));
    return task::ToAnswer(result);
  }

  ErrnoOrVoid SetOffset(int64_t at) {
    // Linux: rw_verify_area.
    int64_t end;
    if (at < 0 || __builtin_add_overflow(at, buffer.size(), &end)) return Errno::kInval;
    offset = at;
    return {};
  }

  // preadv2(2)'s flags.
  ErrnoOrVoid SetFlags(int flags) {
    if (flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)) return Errno::kOpNotSupp;
    if (!write && (flags & (RWF_APPEND))) return Errno::kInval;
    nowait = (flags & RWF_NOWAIT) != 0;
    append = (flags & RWF_APPEND) != 0;
    sync = (flags & (RWF_DSYNC | RWF_SYNC)) != 0;
    return {};
  }
};

template <bool kWrite>
struct ReadWriteCall : Transfer {
  static ErrnoOr<ReadWriteCall> Begin(Task& task, const SyscallArgs& args) {
    return ReadWriteCall{TRY(On(task, args.Int(0), kWrite, task.Buffer(args.Addr(1), args.Size(2))))};
  }
};

template <bool kWrite>
struct PositionedCall : Transfer {
  static ErrnoOr<PositionedCall> Begin(Task& task, const SyscallArgs& args) {
    if (args.Long(3) < 0) return Errno::kInval;
    PositionedCall call{TRY(On(task, args.Int(0), kWrite, task.Buffer(args.Addr(1), args.Size(2))))};
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
    PositionedVectorCall call{
        TRY(On(task, args.Int(0), kWrite, task.BufferOfIovec(args.Addr(1), args.Size(2))))};
    TRY_VOID(call.SetOffset(args.Long(3)));
    return call;
  }
};

template <bool kWrite>
struct FlaggedVectorCall : Transfer {
  static ErrnoOr<FlaggedVectorCall> Begin(Task& task, const SyscallArgs& args) {
    FlaggedVectorCall call{
        TRY(On(task, args.Int(0), kWrite, task.BufferOfIovec(args.Addr(1), args.Size(2))))};
    if (args.Long(3) != kAtPosition) TRY_VOID(call.SetOffset(args.Long(3)));
    TRY_VOID(call.SetFlags(args.Int(5)));
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
  if (args.Long(1) < 0 || args.Long(2) < 0 || (args.Uint(3) & ~7u)) return Errno::kInval;
  if (file->wait_queue() != nullptr) return Errno::kSPipe;
  return file->Sync(true);
}

ErrnoOrVoid Fadvise(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  if (args.Int(3) < 0 || args.Int(3) > 5 || args.Long(2) < 0) return Errno::kInval;
  if (file->wait_queue() != nullptr) return Errno::kSPipe;
  return {};  // advice: a file here is read ahead by the host as it likes
}

ErrnoOrVoid Readahead(Task& task, const SyscallArgs& args) {
  const Ref<FileDescription> file = TRY(task.GetFile(args.Int(0)));
  if (!file->readable()) return Errno::kBadf;
  if (file->AsMappable() == nullptr) return Errno::kInval;
  return {};
}

constexpr Entry kEntries[] = {
    {SYS_read, "read", Blocking<ReadWriteCall<false>>, "fbz"},
    {SYS_write, "write", Blocking<ReadWriteCall<true>>, "fbz"},
    {SYS_pread64, "pread64", Blocking<PositionedCall<false>>, "fbzd"},
    {SYS_pwrite64, "pwrite64", Blocking<PositionedCall<true>>, "fbzd"},
    {SYS_readv, "readv", Blocking<VectorCall<false>>, "fpd"},
    {SYS_writev, "writev", Blocking<VectorCall<true>>, "fpd"},
    {SYS_preadv, "preadv", Blocking<PositionedVectorCall<false>>, "fpdd"},
    {SYS_pwritev, "pwritev", Blocking<PositionedVectorCall<true>>, "fpdd"},
    {SYS_preadv2, "preadv2", Blocking<FlaggedVectorCall<false>>, "fpdddx"},
    {SYS_pwritev2, "pwritev2", Blocking<FlaggedVectorCall<true>>, "fpdddx"},
    {SYS_lseek, "lseek", Plain<Lseek>, "fdd"},
    {SYS_fsync, "fsync", Plain<Fsync<false>>, "f"},
    {SYS_fdatasync, "fdatasync", Plain<Fsync<true>>, "f"},
    {SYS_sync, "sync", Plain<Sync>, "", Support::kPartial, "files are the host's: fsync writes them out"},
    {SYS_syncfs, "syncfs", Plain<Fsync<false>>, "f", Support::kPartial, "writes out the one file"},
    {SYS_sync_file_range, "sync_file_range", Plain<SyncFileRange>, "fddx"},
    {SYS_fadvise64, "fadvise64", Plain<Fadvise>, "fddd"},
    {SYS_readahead, "readahead", Plain<Readahead>, "fdz"},
};

}  // namespace

std::span<const Entry> FileIoSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
