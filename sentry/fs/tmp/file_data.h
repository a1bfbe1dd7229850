#ifndef CLOISTER_SENTRY_FS_TMP_FILE_DATA_H_
#define CLOISTER_SENTRY_FS_TMP_FILE_DATA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/host/unique_fd.h"
#include "sentry/fs/tmp/tmp_fs.h"
#include "sentry/usermem/user_buffer.h"

namespace cloister::tmp {

using usermem::UserBuffer;

// The bytes of one regular file. A small file without holes lies in the sentry; what is larger,
// sparse, mapped or sealed lies in a memfd of its own, whose end, holes and faults are the host's.
// Thread-safe; writers come one after the other, readers of a memfd take no lock.
class FileData {
 public:
  // name: shown in the host's /proc only. sealable: F_ADD_SEALS is allowed (memfd_create(2)).
  FileData(TmpFs& fs, std::string name, bool sealable)
      : fs_(fs), name_(std::move(name)), sealable_(sealable) {}
  ~FileData();

  uint64_t size() const { return size_.load(std::memory_order_acquire); }
  // Bytes of memory that it takes, a multiple of the page.
  uint64_t Used() ABSL_LOCKS_EXCLUDED(mu_);

  // kNoMem where files in memory take all that the sandbox has for them.
  ErrnoOrVoid CheckBudget() ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<size_t> ReadAt(UserBuffer& dst, uint64_t offset) ABSL_LOCKS_EXCLUDED(mu_);
  // kNoSpc where not a byte fits the file system's limit; less than asked where some did.
  ErrnoOr<size_t> WriteAt(UserBuffer& src, uint64_t offset) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Resize(uint64_t size) ABSL_LOCKS_EXCLUDED(mu_);
  // fallocate(2).
  ErrnoOrVoid Allocate(int mode, uint64_t offset, uint64_t length) ABSL_LOCKS_EXCLUDED(mu_);
  // lseek(2)'s SEEK_DATA and SEEK_HOLE.
  ErrnoOr<int64_t> SeekHole(int64_t offset, bool data) ABSL_LOCKS_EXCLUDED(mu_);

  // The memfd, made now if there is none; borrowed for the life of this object.
  ErrnoOr<int> HostFd() ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<int> Seals() ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid AddSeals(int seals) ABSL_LOCKS_EXCLUDED(mu_);
  // F_SEAL_EXEC for a new file that nobody may execute: its memfd is made so, since on one that may be
  // executed the seal brings those against writing along. A host older than 6.3 goes without.
  ErrnoOrVoid SealNotExecutable() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  int fd() const { return fd_.load(std::memory_order_acquire); }

  ErrnoOrVoid MoveToHostLocked(unsigned more_flags = 0) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<size_t> WriteSmallLocked(UserBuffer& src, size_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<size_t> WriteHostLocked(UserBuffer& src, uint64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes the pages that bytes up to end may newly need; the end up to which there is room, which
  // is at most `start` where there is none.
  uint64_t ReserveLocked(uint64_t start, uint64_t end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Counts again what the memfd really has.
  void RecountLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ChargeLocked(uint64_t pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GrowSizeLocked(uint64_t end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  TmpFs& fs_;
  const std::string name_;
  const bool sealable_;
  std::atomic<uint64_t> size_{0};
  std::atomic<int> fd_{-1};                            // set once; readers need no lock
  absl::Mutex mu_;                                     // leaf
  std::vector<std::byte> small_ ABSL_GUARDED_BY(mu_);  // all of it while there is no memfd
  uint64_t charged_ ABSL_GUARDED_BY(mu_) = 0;          // pages taken from the file system
  uint64_t solid_ ABSL_GUARDED_BY(mu_) = 0;            // bytes from the start that surely have no hole
};

}  // namespace cloister::tmp

#endif  // CLOISTER_SENTRY_FS_TMP_FILE_DATA_H_
