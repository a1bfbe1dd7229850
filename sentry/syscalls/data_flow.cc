#include "sentry/syscalls/data_flow.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "sentry/fs/pipe/pipe_file.h"
#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"

namespace cloister::syscalls {
namespace {

using task::Answer;
using task::Block;
using task::Outcome;
using task::Task;
using usermem::UserBuffer;
using wait::Poll;

constexpr size_t kChunk = 64 << 10;

// One a worker: nothing holds it across calls. Not in the threads that move no data: what is thread_local
// itself is set to zero in each.
std::span<std::byte> Chunk() {
  static thread_local const auto chunk = std::make_unique_for_overwrite<std::byte[]>(kChunk);
  return {chunk.get(), kChunk};
}

}  // namespace

ErrnoOrVoid DataFlow::UseOwnPosition() {
  const ErrnoOr<int64_t> position = in.file->Seek(0, SEEK_CUR);
  if (!position.ok()) return Errno::kInval;
  in.offset = *position;
  in.own_position = true;
  return {};
}

ErrnoOrVoid DataFlow::TakeOffset(const Task& task, uint64_t addr, End* end) {
  if (addr == 0) return {};
  end->offset = TRY(task.CopyIn(usermem::UserPtr<const int64_t>(addr)));
  end->offset_addr = addr;
  end->has_offset = true;
  return {};
}

Outcome DataFlow::Step(Task& task) {
  while (left > 0) {
    blocked_ = nullptr;
    const ErrnoOr<size_t> moved = Round(task);
    if (!moved.ok()) return Stopped(task, moved.error());
    if (*moved == 0) break;
    if (in.file->path()) vfs::FileEvents::TellPath(in.file->path(), IN_ACCESS);
    if (out.file->path()) vfs::FileEvents::TellPath(out.file->path(), IN_MODIFY);
    total += *moved;
    left -= *moved;
    if (task.interrupted()) break;
  }
  return Settle(task);
}

Outcome DataFlow::Stopped(Task& task, Errno error) {
  if (error == Errno::kPipe) task.Raise(SIGPIPE);
  if (error != Errno::kAgain || blocked_ == nullptr) return total > 0 ? Settle(task) : Answer(error);
  vfs::FileDescription& file = *blocked_->file;
  if (nonblocking || file.nonblocking() || file.wait_queue() == nullptr) {
    return total > 0 ? Settle(task) : Answer(Errno::kAgain);
  }
  const bool sink_drains = blocked_ == &out && !out.is_pipe();
  if (total > 0 && !sink_drains) return Settle(task);
  Block block;
  block.on.push_back({Ref<RefCounted>(&file), file.wait_queue(), blocked_ == &out ? Poll::kOut : Poll::kIn});
  if (total > 0) block.at_signal = Settle(task);
  return block;
}

Answer DataFlow::Settle(Task& task) {
  if (total == 0) return 0;
  if (in.own_position) static_cast<void>(in.file->Seek(in.offset, SEEK_SET));
  for (const End* end : {&in, &out}) {
    if (end->offset_addr == 0) continue;
    const ErrnoOrVoid told = task.CopyOut(usermem::UserPtr<int64_t>(end->offset_addr), end->offset);
    if (!told.ok()) return told.error();
  }
  return static_cast<int64_t>(total);
}

ErrnoOr<size_t> DataFlow::Round(Task& task) {
  if (out.is_pipe()) return IntoPipe();
  return in.is_pipe() ? PipeToFile(task) : FileToFile(task);
}

ErrnoOr<size_t> DataFlow::IntoPipe() {
  blocked_ = &out;
  const size_t want = std::min({left, kChunk, TRY(out.pipe().channel().FreeSpace())});
  blocked_ = &in;
  if (in.is_pipe()) return PipeToPipe(want);
  const std::span<std::byte> bytes = Chunk().first(want);
  UserBuffer buffer = UserBuffer::Kernel(bytes);
  ErrnoOr<size_t> got = Errno::kInval;
  if (in.has_offset || in.own_position) {
    got = in.file->ReadAt(buffer, in.offset);
  } else {
    got = in.file->Read(buffer);
  }
  if (!got.ok()) return got.error() == Errno::kSPipe ? Errno::kInval : got.error();
  TRY_VOID(out.pipe().channel().Put(bytes.first(*got)));
  in.offset += static_cast<int64_t>(*got);
  return *got;
}

ErrnoOr<size_t> DataFlow::PipeToPipe(size_t want) {
  pipe::PipeChannel& from = in.pipe().channel();
  const std::vector<std::byte> bytes = TRY(from.BeginTake(want));
  const ErrnoOrVoid put = out.pipe().channel().Put(bytes);
  from.EndTake(put.ok() ? bytes.size() : 0);
  if (!put.ok()) return put.error();
  return bytes.size();
}

ErrnoOr<size_t> DataFlow::PipeToFile(Task& task) {
  pipe::PipeChannel& from = in.pipe().channel();
  blocked_ = &in;
  const std::vector<std::byte> bytes = TRY(from.BeginTake(std::min(left, kChunk)));
  blocked_ = &out;
  const ErrnoOr<size_t> written = bytes.empty() ? ErrnoOr<size_t>(0) : WriteOut(task, bytes);
  from.EndTake(written.ok() ? *written : 0);
  return written;
}

ErrnoOr<size_t> DataFlow::FileToFile(Task& task) {
  const std::span<std::byte> bytes = Chunk().first(std::min(left, kChunk));
  UserBuffer buffer = UserBuffer::Kernel(bytes);
  blocked_ = &in;
  const ErrnoOr<size_t> got = in.file->ReadAt(buffer, in.offset);
  if (!got.ok()) return got.error() == Errno::kSPipe ? Errno::kInval : got.error();
  if (*got == 0) return size_t{0};
  blocked_ = &out;
  const size_t written = TRY(WriteOut(task, bytes.first(*got)));
  in.offset += static_cast<int64_t>(written);
  return written;
}

// RLIMIT_FSIZE. Linux: generic_write_checks.
ErrnoOr<size_t> DataFlow::RoomUnderLimit(Task& task, size_t want) {
  const uint64_t limit = task.Limit(RLIMIT_FSIZE).rlim_cur;
  if (limit == RLIM_INFINITY || out.file->AsMappable() == nullptr) return want;
  const int64_t at = out.has_offset ? out.offset : TRY(out.file->Seek(0, SEEK_CUR));
  if (static_cast<uint64_t>(at) >= limit) {
    task.Raise(SIGXFSZ);
    return Errno::kFBig;
  }
  return std::min<uint64_t>(want, limit - static_cast<uint64_t>(at));
}

ErrnoOr<size_t> DataFlow::WriteOut(Task& task, std::span<const std::byte> bytes) {
  UserBuffer buffer = UserBuffer::KernelConst(bytes.first(TRY(RoomUnderLimit(task, bytes.size()))));
  if (total == 0 && out.file->AsMappable() != nullptr) {
    TRY_VOID(vfs::ClearSetIdForWrite(task.MakeCaller(), *out.file));
  }
  if (!out.has_offset) return out.file->Write(buffer);
  const size_t written = TRY(out.file->WriteAt(buffer, out.offset));
  out.offset += static_cast<int64_t>(written);
  return written;
}

}  // namespace cloister::syscalls
