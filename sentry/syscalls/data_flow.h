#ifndef CLOISTER_SENTRY_SYSCALLS_DATA_FLOW_H_
#define CLOISTER_SENTRY_SYSCALLS_DATA_FLOW_H_

#include <cstdint>
#include <span>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/task/outcome.h"
#include "sentry/task/task.h"
#include "sentry/vfs/file_description.h"

namespace cloister::syscalls {

// Bytes on their way from one open file to another without passing through the guest: what sendfile,
// splice and copy_file_range have in common. Bytes leave their source only when the sink has them.
// Each source is a pipe, or a file read at a position, or (into pipes alone) any other stream.
struct DataFlow {
  struct End {
    Ref<vfs::FileDescription> file;
    bool has_offset = false;  // moves `offset`, not the file's position
    int64_t offset = 0;
    uint64_t offset_addr = 0;   // where the guest is told the new offset
    bool own_position = false;  // a source whose position is `offset` and is moved when the call ends

    bool is_pipe() const { return file->AsPipe() != nullptr; }
    pipe::PipeFile& pipe() const { return *file->AsPipe(); }
  };

  End in, out;
  size_t left = 0;
  bool nonblocking = false;  // SPLICE_F_NONBLOCK, or one of the pipes is O_NONBLOCK
  size_t total = 0;

  // Moves what can be moved now. Waits with a Block only for a sink that is no pipe, or while nothing
  // has been moved yet.
  task::Outcome Step(task::Task& task);

  // The source is to be read at its own position, which is then moved by hand: kInval where it has none.
  ErrnoOrVoid UseOwnPosition();
  // Copies the guest's offset in: kFault. addr 0: there is none.
  static ErrnoOrVoid TakeOffset(const task::Task& task, uint64_t addr, End* end);

 private:
  // Bytes moved; 0 at the end of the source. kAgain: blocked_ says who is not ready.
  ErrnoOr<size_t> Round(task::Task& task);
  ErrnoOr<size_t> IntoPipe();
  ErrnoOr<size_t> PipeToPipe(size_t want);
  ErrnoOr<size_t> PipeToFile(task::Task& task);
  ErrnoOr<size_t> FileToFile(task::Task& task);
  ErrnoOr<size_t> WriteOut(task::Task& task, std::span<const std::byte> bytes);
  ErrnoOr<size_t> RoomUnderLimit(task::Task& task, size_t want);
  task::Outcome Stopped(task::Task& task, Errno error);
  // Tells the guest and the source where they are.
  task::Answer Settle(task::Task& task);

  End* blocked_ = nullptr;  // NOLINT: within one Step
};

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_DATA_FLOW_H_
