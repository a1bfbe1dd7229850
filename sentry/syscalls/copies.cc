// Data from one open file to another: sendfile, copy_file_range, splice, tee, vmsplice.

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "sentry/fs/pipe/pipe_file.h"
#include "sentry/syscalls/data_flow.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

using task::Block;
using vfs::FileDescription;
using wait::Poll;

constexpr size_t kMaxRwCount = 0x7ffff000;  // Linux: MAX_RW_COUNT
constexpr uint32_t kSpliceFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;

ErrnoOr<Ref<FileDescription>> ReadableFile(Task& task, int fd) {
  Ref<FileDescription> file = TRY(task.GetFile(fd));
  if (!file->readable()) return Errno::kBadf;
  return file;
}

ErrnoOr<Ref<FileDescription>> WritableFile(Task& task, int fd) {
  Ref<FileDescription> file = TRY(task.GetFile(fd));
  if (!file->writable()) return Errno::kBadf;
  return file;
}

// Linux: files without splice_read or splice_write.
bool NeverSpliced(FileDescription& file) {
  return file.AsDirectory() != nullptr || file.AsAnon() != nullptr || file.AsEpoll() != nullptr;
}

// Linux: files with splice_write alone.
bool IsNull(FileDescription& file) {
  const Ref<vfs::Inode> inode = file.inode();
  if (!inode || inode->type() != S_IFCHR) return false;
  const ErrnoOr<struct statx> attr = inode->GetAttr();
  return attr.ok() && attr->stx_rdev_major == 1 && attr->stx_rdev_minor == 3;
}

bool HasPosition(FileDescription& file) { return file.Seek(0, SEEK_CUR).ok(); }

// sendfile(2).
struct SendfileCall : DataFlow {
  static ErrnoOr<SendfileCall> Begin(Task& task, const SyscallArgs& args) {
    SendfileCall call;
    TRY_VOID(TakeOffset(task, args.Addr(2), &call.in));
    call.in.file = TRY(ReadableFile(task, args.Int(1)));
    if (call.in.has_offset && !HasPosition(*call.in.file)) return Errno::kSPipe;
    if (call.in.has_offset && call.in.offset < 0) return Errno::kInval;
    call.out.file = TRY(WritableFile(task, args.Int(0)));
    if (NeverSpliced(*call.in.file) || NeverSpliced(*call.out.file) || IsNull(*call.in.file))
      return Errno::kInval;
    if (!call.in.has_offset) TRY_VOID(call.UseOwnPosition());
    if (!call.out.is_pipe() && (call.out.file->flags() & O_APPEND)) return Errno::kInval;
    call.nonblocking = call.out.is_pipe() && call.out.file->nonblocking();
    call.left = std::min<size_t>({args.Size(3), kMaxRwCount, size_t{LLONG_MAX} - call.in.offset});
    return call;
  }
};

// copy_file_range(2). Between file systems it is kXDev, as in Linux since 5.19.
struct CopyFileRangeCall : DataFlow {
  static ErrnoOr<CopyFileRangeCall> Begin(Task& task, const SyscallArgs& args) {
    CopyFileRangeCall call;
    call.in.file = TRY(task.GetFile(args.Int(0)));
    call.out.file = TRY(task.GetFile(args.Int(2)));
    TRY_VOID(TakeOffset(task, args.Addr(1), &call.in));
    TRY_VOID(TakeOffset(task, args.Addr(3), &call.out));
    if (args.Uint(5) != 0) return Errno::kInval;
    call.left = std::min(args.Size(4), kMaxRwCount);
    TRY_VOID(call.CheckFiles());
    TRY_VOID(call.CheckRanges());
    return call;
  }

 private:
  ErrnoOrVoid CheckFiles() const {
    const Ref<vfs::Inode> from = in.file->inode(), to = out.file->inode();
    if (!from || !to) return Errno::kInval;
    if (from->is_directory() || to->is_directory()) return Errno::kIsDir;
    if (from->type() != S_IFREG || to->type() != S_IFREG) return Errno::kInval;
    if (!in.file->readable() || !out.file->writable() || (out.file->flags() & O_APPEND)) return Errno::kBadf;
    if (&from->fs() != &to->fs()) return Errno::kXDev;
    return {};
  }

  // Linux: generic_copy_file_checks.
  ErrnoOrVoid CheckRanges() {
    if (!in.has_offset) TRY_VOID(UseOwnPosition());
    const int64_t to = out.has_offset ? out.offset : TRY(out.file->Seek(0, SEEK_CUR));
    if (in.offset < 0 || to < 0) return Errno::kInval;
    const auto length = static_cast<int64_t>(left);
    int64_t end;
    if (__builtin_add_overflow(in.offset, length, &end) || __builtin_add_overflow(to, length, &end))
      return Errno::kOverflow;
    const uint64_t size = TRY(in.file->inode()->GetAttr()).stx_size;
    const auto from = static_cast<uint64_t>(in.offset);
    left = from >= size ? 0 : std::min<uint64_t>(left, size - from);
    const bool same = in.file->inode() == out.file->inode();
    const auto count = static_cast<int64_t>(left);
    if (same && to < in.offset + count && in.offset < to + count) return Errno::kInval;
    return {};
  }
};

// splice(2).
struct SpliceCall : DataFlow {
  static ErrnoOr<SpliceCall> Begin(Task& task, const SyscallArgs& args) {
    SpliceCall call;
    call.left = std::min(args.Size(4), kMaxRwCount);
    if (call.left == 0) return call;
    if (args.Uint(5) & ~kSpliceFlags) return Errno::kInval;
    call.in.file = TRY(task.GetFile(args.Int(0)));
    call.out.file = TRY(task.GetFile(args.Int(2)));
    if (call.in.is_pipe() && args.Addr(1) != 0) return Errno::kSPipe;
    if (call.out.is_pipe() && args.Addr(3) != 0) return Errno::kSPipe;
    TRY_VOID(TakeOffset(task, args.Addr(1), &call.in));
    TRY_VOID(TakeOffset(task, args.Addr(3), &call.out));
    TRY_VOID(call.CheckEnds());
    call.nonblocking = (args.Uint(5) & SPLICE_F_NONBLOCK) != 0;
    for (const End* end : {&call.in, &call.out}) {
      if (end->is_pipe() && end->file->nonblocking()) call.nonblocking = true;
    }
    return call;
  }

 private:
  ErrnoOrVoid CheckEnds() const {
    if (!in.file->readable() || !out.file->writable()) return Errno::kBadf;
    if (in.is_pipe() && out.is_pipe()) {
      return &in.pipe().channel() == &out.pipe().channel() ? ErrnoOrVoid(Errno::kInval) : Ok();
    }
    const End& other = in.is_pipe() ? out : in;
    if (!in.is_pipe() && !out.is_pipe()) return Errno::kInval;
    if (NeverSpliced(*other.file) || (out.is_pipe() && IsNull(*other.file))) return Errno::kInval;
    if (other.has_offset && (other.offset < 0 || !HasPosition(*other.file))) return Errno::kInval;
    if (in.is_pipe() && (out.file->flags() & O_APPEND)) return Errno::kInval;
    return {};
  }
};

// tee(2): what is in one pipe now, also into another.
struct TeeCall {
  Ref<FileDescription> in, out;
  size_t length = 0;
  bool nonblocking = false;

  static ErrnoOr<TeeCall> Begin(Task& task, const SyscallArgs& args) {
    TeeCall call;
    if (args.Uint(3) & ~kSpliceFlags) return Errno::kInval;
    call.length = std::min(args.Size(2), kMaxRwCount);
    if (call.length == 0) return call;
    call.in = TRY(ReadableFile(task, args.Int(0)));
    call.out = TRY(WritableFile(task, args.Int(1)));
    if (call.in->AsPipe() == nullptr || call.out->AsPipe() == nullptr) return Errno::kInval;
    if (&call.in->AsPipe()->channel() == &call.out->AsPipe()->channel()) return Errno::kInval;
    call.nonblocking =
        (args.Uint(3) & SPLICE_F_NONBLOCK) || call.in->nonblocking() || call.out->nonblocking();
    return call;
  }

  Outcome Step(Task& task) {
    if (length == 0) return Answer(0);
    // A peek of no bytes tells whether there is anything to come.
    const ErrnoOr<std::vector<std::byte>> ready = in->AsPipe()->channel().Peek(0);
    if (!ready.ok()) return NotReady(task, in, Poll::kIn, ready.error());
    if (in->AsPipe()->channel().queued() == 0) return Answer(0);
    const ErrnoOr<size_t> room = out->AsPipe()->channel().FreeSpace();
    if (!room.ok()) return NotReady(task, out, Poll::kOut, room.error());
    const ErrnoOr<std::vector<std::byte>> bytes = in->AsPipe()->channel().Peek(std::min(length, *room));
    if (!bytes.ok()) return NotReady(task, in, Poll::kIn, bytes.error());
    const ErrnoOrVoid put = out->AsPipe()->channel().Put(*bytes);
    if (!put.ok()) return NotReady(task, out, Poll::kOut, put.error());
    return Answer(static_cast<int64_t>(bytes->size()));
  }

  Outcome NotReady(Task& task, const Ref<FileDescription>& file, Poll events, Errno error) const {
    if (error == Errno::kPipe) task.Raise(SIGPIPE);
    if (error != Errno::kAgain || nonblocking) return Answer(error);
    Block block;
    block.on.push_back({Ref<RefCounted>(file), file->wait_queue(), events});
    return block;
  }
};

// vmsplice(2). The pages are copied, whatever SPLICE_F_GIFT says. O_NONBLOCK of the pipe does not
// matter, as in Linux.
struct VmspliceCall {
  Ref<FileDescription> file;
  usermem::UserBuffer buffer;
  bool nonblocking = false;

  static ErrnoOr<VmspliceCall> Begin(Task& task, const SyscallArgs& args) {
    VmspliceCall call;
    if (args.Uint(3) & ~kSpliceFlags) return Errno::kInval;
    call.file = TRY(task.GetFile(args.Int(0)));
    if (!call.file->writable() && !call.file->readable()) return Errno::kBadf;
    call.buffer = TRY(task.BufferOfIovec(args.Addr(1), args.Size(2)));
    if (call.buffer.empty()) return call;
    if (call.file->AsPipe() == nullptr) return Errno::kBadf;
    call.nonblocking = (args.Uint(3) & SPLICE_F_NONBLOCK) != 0;
    return call;
  }

  Outcome Step(Task& task) {
    if (buffer.empty()) return Answer(0);
    pipe::PipeChannel& channel = file->AsPipe()->channel();
    const bool write = file->writable();
    const ErrnoOr<size_t> result = write ? channel.Write(buffer, false) : channel.Read(buffer);
    if (write && !result.ok() && result.error() == Errno::kPipe) task.Raise(SIGPIPE);
    if (result.ok() || result.error() != Errno::kAgain || nonblocking) return task::ToAnswer(result);
    Block block;
    block.on.push_back({Ref<RefCounted>(file), file->wait_queue(), write ? Poll::kOut : Poll::kIn});
    return block;
  }
};

constexpr Entry kEntries[] = {
    {SYS_sendfile, Blocking<SendfileCall>}, {SYS_copy_file_range, Blocking<CopyFileRangeCall>},
    {SYS_splice, Blocking<SpliceCall>},     {SYS_tee, Blocking<TeeCall>},
    {SYS_vmsplice, Blocking<VmspliceCall>},
};

}  // namespace

std::span<const Entry> CopySyscalls() { return kEntries; }

}  // namespace cloister::syscalls
