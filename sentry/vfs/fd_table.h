#ifndef CLOISTER_SENTRY_VFS_FD_TABLE_H_
#define CLOISTER_SENTRY_VFS_FD_TABLE_H_

#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/vfs/file_description.h"

namespace cloister::vfs {

// Descriptor numbers of a process. Linux: struct files_struct. Shared by tasks made with
// CLONE_FILES. Thread-safe. Files that leave the table are released outside its lock, after the
// POSIX locks that the table (their owner) had on them.
class FdTable : public RefCounted {
 public:
  FdTable() = default;
  ~FdTable() override;

  // kBadf where fd is not open. O_PATH files are given too: callers that need more say so.
  ErrnoOr<Ref<FileDescription>> Get(int fd) const ABSL_LOCKS_EXCLUDED(mu_);

  // The lowest free number at or above least and below limit (RLIMIT_NOFILE); kMFile if there is none.
  ErrnoOr<int> Install(Ref<FileDescription> file, bool cloexec, int least, uint64_t limit)
      ABSL_LOCKS_EXCLUDED(mu_);
  // dup2(2): number fd, whatever was there before is returned to be flushed.
  ErrnoOr<Ref<FileDescription>> InstallAt(int fd, Ref<FileDescription> file, bool cloexec, uint64_t limit)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Takes fd out of the table.
  ErrnoOr<Ref<FileDescription>> Remove(int fd) ABSL_LOCKS_EXCLUDED(mu_);
  // Takes [first, last] out of the table.
  std::vector<Ref<FileDescription>> RemoveRange(uint32_t first, uint32_t last) ABSL_LOCKS_EXCLUDED(mu_);
  void SetCloexecRange(uint32_t first, uint32_t last) ABSL_LOCKS_EXCLUDED(mu_);
  // execve(2): takes out all that are close-on-exec.
  std::vector<Ref<FileDescription>> RemoveCloexec() ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<bool> GetCloexec(int fd) const ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid SetCloexec(int fd, bool cloexec) ABSL_LOCKS_EXCLUDED(mu_);

  // fork(2).
  Ref<FdTable> Copy() const ABSL_LOCKS_EXCLUDED(mu_);
  // Open numbers, ascending: /proc/PID/fd.
  std::vector<int> Numbers() const ABSL_LOCKS_EXCLUDED(mu_);
  // Size of the table, as FDSize in /proc/PID/status.
  size_t size() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Slot {
    Ref<FileDescription> file;
    bool cloexec = false;
  };

  Ref<FileDescription> TakeLocked(size_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<Ref<FileDescription>> RemoveWhere(size_t first, size_t end, bool only_cloexec)
      ABSL_LOCKS_EXCLUDED(mu_);
  // A number of the file was closed: this table's POSIX locks on it go, fcntl(2).
  void DropPosixLocks(const FileDescription& file) const ABSL_LOCKS_EXCLUDED(mu_);

  mutable absl::Mutex mu_;  // leaf
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mu_);
  size_t lowest_free_ ABSL_GUARDED_BY(mu_) = 0;  // no number below it is free
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_FD_TABLE_H_
