#ifndef CLOISTER_SENTRY_IPC_SHARED_SEGMENTS_H_
#define CLOISTER_SENTRY_IPC_SHARED_SEGMENTS_H_

#include <linux/shm.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/ipc/ipc_object.h"
#include "sentry/mm/mappable.h"
#include "sentry/vfs/file_description.h"

namespace cloister::ipc {

// Flags in a segment's mode, which shmctl(2) shows: it goes with its last detach; its pages are locked. Of
// sys/shm.h, which cannot be included beside linux/shm.h.
inline constexpr mode_t kShmDest = 01000;
inline constexpr mode_t kShmLocked = 02000;

// A shared memory segment. Linux: struct shmid_kernel. Lives as long as it is in the table or attached.
// Fields that change are guarded by the table's lock.
struct SharedSegment final : public IpcObject {
  using IpcObject::IpcObject;

  uint64_t size = 0;               // bytes as asked for; immutable
  Ref<vfs::FileDescription> file;  // its memory; immutable
  pid_t creator_pid = 0;           // immutable
  const void* creator = nullptr;   // the task that made it, while it lives
  pid_t last_pid = 0;
  uint64_t attached = 0;  // areas of all processes, and shmat(2) under way
  int64_t attach_time = 0, detach_time = 0, change_time = 0;
  uid_t locked_by = 0;  // kShmLocked: whose limit it counts against
};

// The shared memory of an IPC namespace: shmget(2), shmat(2), shmctl(2). Linux: ipc/shm.c. Thread-safe.
class SharedSegments : public RefCounted {
 public:
  static constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max() - (uint64_t{1} << 24);

  // /proc/sys/kernel/shm*.
  struct Limits {
    uint64_t max_bytes = kNoLimit;  // of one
    uint64_t all_pages = kNoLimit;
    int count = 4096;
    bool remove_forced = false;  // as if each had IPC_RMID already
  };
  Limits limits() const ABSL_LOCKS_EXCLUDED(mu_);
  // Also removes what nobody uses, where that is now forced.
  void SetLimits(const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_);

  struct GetRequest {
    key_t key = IPC_PRIVATE;
    uint64_t size = 0;
    int flags = 0;
    pid_t pid = 0;
    const void* creator = nullptr;  // compared only: OnExit
  };
  // Makes a file of whole pages to be mapped, by the name that /proc/PID/maps shows.
  using MakeFile =
      absl::FunctionRef<ErrnoOr<Ref<vfs::FileDescription>>(std::string_view name, uint64_t size)>;
  ErrnoOr<int> Get(const GetRequest& request, const auth::Credentials& cred, MakeFile make)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Keeps a segment from being destroyed between shmat(2)'s decision and the mapping.
  class Hold {
   public:
    Hold(Ref<SharedSegments> table, Ref<SharedSegment> segment)
        : table_(std::move(table)), segment_(std::move(segment)) {}
    Hold(Hold&&) = default;
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (segment_) table_->LetGo(*segment_);
    }
    uint64_t size() const { return segment_->size; }
    // What is mapped.
    mm::MappedFile MakeAttachment() const;

   private:
    Ref<SharedSegments> table_;
    Ref<SharedSegment> segment_;
  };
  // access: permission bits that are needed.
  ErrnoOr<Hold> HoldForAttach(int id, int access, const auth::Credentials& cred) ABSL_LOCKS_EXCLUDED(mu_);

  // shmctl(2).
  ErrnoOr<Described<shmid64_ds>> Describe(int id, Lookup how, const auth::Credentials& cred) const
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Change(int id, const shmid64_ds& wanted, const auth::Credentials& cred)
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Remove(int id, const auth::Credentials& cred) ABSL_LOCKS_EXCLUDED(mu_);
  // limit: RLIMIT_MEMLOCK. Bookkeeping: nothing is pinned on the host.
  ErrnoOrVoid Lock(int id, const auth::Credentials& cred, uint64_t limit) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Unlock(int id, const auth::Credentials& cred) ABSL_LOCKS_EXCLUDED(mu_);
  // IPC_INFO and SHM_INFO; both return the highest index.
  int Info(shminfo64* info) const ABSL_LOCKS_EXCLUDED(mu_);
  int Usage(shm_info* info) const ABSL_LOCKS_EXCLUDED(mu_);

  // For /proc/sysvipc/shm.
  struct Listed {
    Described<shmid64_ds> segment;
    uint64_t resident = 0;  // bytes
  };
  std::vector<Listed> List() const ABSL_LOCKS_EXCLUDED(mu_);

  // A task that made segments ends.
  void OnExit(const void* creator) ABSL_LOCKS_EXCLUDED(mu_);

  // An area that shows the segment appears in, or leaves, the memory of process `by`.
  void OnAreaAdded(SharedSegment& segment, pid_t by) ABSL_LOCKS_EXCLUDED(mu_);
  void OnAreaRemoved(SharedSegment& segment, pid_t by) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  ErrnoOr<int> MakeLocked(const GetRequest& request, const auth::Credentials& cred, MakeFile make)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LetGo(SharedSegment& segment) ABSL_LOCKS_EXCLUDED(mu_);
  // Takes it out of the table if it is to go with its last user; the caller drops it behind the lock.
  Ref<SharedSegment> TakeIfUnusedLocked(SharedSegment& segment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Ref<SharedSegment> TakeLocked(SharedSegment& segment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UnlockMemoryLocked(SharedSegment& segment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;  // below MemoryManager::mu_; above the locks of the segments' files
  Limits limits_ ABSL_GUARDED_BY(mu_);
  IdTable<SharedSegment> table_ ABSL_GUARDED_BY(mu_);
  uint64_t pages_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uid_t, uint64_t> locked_bytes_ ABSL_GUARDED_BY(mu_);
  std::atomic<int> created_{0};  // segments whose creator lives: most tasks end without any
};

}  // namespace cloister::ipc

#endif  // CLOISTER_SENTRY_IPC_SHARED_SEGMENTS_H_
