#ifndef CLOISTER_SENTRY_VFS_DIRECTORY_FILE_H_
#define CLOISTER_SENTRY_VFS_DIRECTORY_FILE_H_

#include <cstdint>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/vfs/file_description.h"

namespace cloister::vfs {

// An open directory: getdents64(2). Position cookies are the file system's; 0 is the start.
class DirectoryFile : public FileDescription {
 public:
  using FileDescription::FileDescription;
  DirectoryFile* AsDirectory() override { return this; }

  struct Entry {
    uint64_t inode;
    uint8_t type;  // DT_…
    std::string_view name;
    int64_t next;  // cookie of the entry behind this one
  };
  // Gives entries from the position on ("." and ".." first) until emit says false (that entry is
  // given again next time) or there are none; moves the position behind the last one taken.
  virtual ErrnoOrVoid ReadDir(absl::FunctionRef<bool(const Entry&)> emit) = 0;
  ErrnoOr<size_t> Read(UserBuffer&) override { return Errno::kIsDir; }
};

// A directory whose cookies are numbers that a file system gives its entries once and for all, so
// that a reader neither misses nor repeats one while others come and go. "." and ".." are made here.
class CookieDirectory : public DirectoryFile {
 public:
  using DirectoryFile::DirectoryFile;
  static constexpr int64_t kFirstCookie = 3;  // the least that an entry may have

  ErrnoOrVoid ReadDir(absl::FunctionRef<bool(const Entry&)> emit) override ABSL_LOCKS_EXCLUDED(position_mu_);
  ErrnoOr<int64_t> Seek(int64_t offset, int whence) override ABSL_LOCKS_EXCLUDED(position_mu_);

 protected:
  // Entries with cookies from `from` on, ascending, until emit says false. An entry's `next` is its
  // own cookie plus one.
  virtual ErrnoOrVoid Emit(int64_t from, absl::FunctionRef<bool(const Entry&)> emit) = 0;

 private:
  absl::Mutex position_mu_;  // above the inode's locks
  int64_t position_ ABSL_GUARDED_BY(position_mu_) = 0;
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_DIRECTORY_FILE_H_
