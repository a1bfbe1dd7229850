#ifndef CLOISTER_SENTRY_SYSCALLS_TRANSFER_H_
#define CLOISTER_SENTRY_SYSCALLS_TRANSFER_H_

#include <cstdint>
#include <optional>

#include "base/error/errno_or.h"
#include "sentry/task/outcome.h"
#include "sentry/task/task.h"
#include "sentry/usermem/user_buffer.h"
#include "sentry/vfs/file_description.h"

namespace cloister::syscalls {

// An offset given as one argument (pread64) or as two halves (preadv): the low one has it all on x86-64.
inline constexpr int64_t kAtPosition = -1;

// All the calls that read or write, once their arguments are in.
struct Transfer {
  Ref<vfs::FileDescription> file;
  usermem::UserBuffer buffer;
  int64_t offset = kAtPosition;
  bool write = false;
  bool nowait = false;                                   // RWF_NOWAIT
  bool append = false;                                   // RWF_APPEND
  bool sync = false;                                     // RWF_SYNC, RWF_DSYNC
  size_t total = 0;                                      // written before it blocked
  std::optional<vfs::FileDescription::HostRead> failed;  // the thread's own attempt

  static ErrnoOr<Transfer> On(task::Task& task, int fd, bool write, ErrnoOr<usermem::UserBuffer> buffer);
  ErrnoOrVoid SetOffset(int64_t at);
  // preadv2(2)'s flags.
  ErrnoOrVoid SetFlags(int flags);

  task::Outcome Step(task::Task& task);

 private:
  ErrnoOr<size_t> Once(task::Task& task);
  ErrnoOr<size_t> ReadOnce();
  // The read that the guest's thread is to make itself, if that is possible and pays.
  std::optional<task::ReadHostFile> ByItself(task::Task& task);
  bool Appends() const { return (file->flags() & O_APPEND) != 0 && file->AsMappable() != nullptr; }
  ErrnoOrVoid LimitSize(task::Task& task);
  task::Outcome Ending(const ErrnoOr<size_t>& result);
};

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_TRANSFER_H_
