#include "sentry/syscalls/transfer.h"

#include <linux/fs.h>
#include <sys/inotify.h>
#include <sys/uio.h>

#include <algorithm>
#include <utility>

#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"

namespace cloister::syscalls {

using task::Answer;
using task::Block;
using task::Outcome;
using task::Task;
using usermem::UserBuffer;
using wait::Poll;

ErrnoOr<Transfer> Transfer::On(Task& task, int fd, bool write, ErrnoOr<UserBuffer> buffer) {
  Transfer transfer;
  transfer.failed = std::exchange(task.failed_read, std::nullopt);
  transfer.file = TRY(task.GetFile(fd));
  if (write ? !transfer.file->writable() : !transfer.file->readable()) return Errno::kBadf;
  transfer.buffer = TRY(std::move(buffer));
  transfer.write = write;
  return transfer;
}

ErrnoOrVoid Transfer::SetOffset(int64_t at) {
  // Linux: rw_verify_area.
  int64_t end;
  if (at < 0 || __builtin_add_overflow(at, buffer.size(), &end)) return Errno::kInval;
  offset = at;
  return {};
}

// preadv2(2)'s flags.
ErrnoOrVoid Transfer::SetFlags(int flags) {
  if (flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)) return Errno::kOpNotSupp;
  nowait = (flags & RWF_NOWAIT) != 0;
  append = (flags & RWF_APPEND) != 0;
  sync = (flags & (RWF_DSYNC | RWF_SYNC)) != 0;
  return {};
}

// RLIMIT_FSIZE. Linux: generic_write_checks.
ErrnoOrVoid Transfer::LimitSize(Task& task) {
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

std::optional<task::ReadHostFile> Transfer::ByItself(Task& task) {
  const UserBuffer::Range to = buffer.guest_range();
  if (write || nowait || to.size == 0 || failed || to.addr > task.mm().task_size() - to.size)
    return std::nullopt;
  const size_t least = task.PaysToReadItself(*file);
  if (to.size < least) return std::nullopt;
  const auto read =
      offset == kAtPosition ? file->BeginHostRead(to.size, least) : file->HostReadAt(to.size, least, offset);
  if (read.host_fd < 0) return std::nullopt;
  if (file->path()) vfs::FileEvents::TellPath(file->path(), IN_ACCESS);
  return task::ReadHostFile{to.addr, read, file};
}

ErrnoOr<size_t> Transfer::ReadOnce() {
  if (offset != kAtPosition) return file->ReadAt(buffer, offset);
  if (const auto read = std::exchange(failed, std::nullopt); read && !file->UndoHostRead(*read))
    return file->ReadAt(buffer, read->offset);
  return file->Read(buffer);
}

ErrnoOr<size_t> Transfer::Once(Task& task) {
  if (!write) return ReadOnce();
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

Outcome Transfer::Ending(const ErrnoOr<size_t>& result) {
  if (!result.ok() && result.error() == Errno::kSPipe && file->AsDirectory() != nullptr)
    return Answer(Errno::kIsDir);
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

Outcome Transfer::Step(Task& task) {
  if (std::optional<task::ReadHostFile> read = ByItself(task)) return *std::move(read);
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

}  // namespace cloister::syscalls
