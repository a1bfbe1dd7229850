#ifndef CLOISTER_SENTRY_IPC_SEMAPHORE_SETS_H_
#define CLOISTER_SENTRY_IPC_SEMAPHORE_SETS_H_

#include <linux/sem.h>
#include <sys/types.h>

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/ipc/ipc_object.h"
#include "sentry/ipc/sem_undo.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::ipc {

struct SemaphoreSet;

// One semtimedop(2): done at once, or queued at its set until another's change lets it be done, on its
// behalf. Linux: struct sem_queue. Guarded by the table's lock but for its queue.
class SemOperation : public RefCounted {
 public:
  // Notified with kIn when there is a result.
  wait::WaitQueue& queue() { return queue_; }

 private:
  friend class SemaphoreSets;
  friend struct SemaphoreSet;
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);
  SemOperation(std::vector<sembuf> ops, pid_t pid, SemUndoList* undo);

  const std::vector<sembuf> ops_;
  const pid_t pid_;
  SemUndoList* const undo_;  // null: none of the ops has SEM_UNDO. It outlives the call.
  const bool alters_;
  size_t blocking_ = 0;  // the op that it waits for
  std::optional<ErrnoOrVoid> result_;
  Ref<SemaphoreSet> set_;  // where it is queued
  std::list<Ref<SemOperation>>::iterator place_;
  wait::WaitQueue queue_;
};

// A semaphore set. Linux: struct sem_array. Guarded by the table's lock.
struct SemaphoreSet final : public IpcObject {
  using IpcObject::IpcObject;

  struct Semaphore {
    int value = 0;
    pid_t pid = 0;  // who changed it last
  };
  using Waiting = std::list<Ref<SemOperation>>;

  Waiting& ListFor(const SemOperation& op) { return op.alters_ ? altering : constant; }

  std::vector<Semaphore> semaphores;  // their number never changes
  int64_t operation_time = 0, change_time = 0;
  Waiting altering;  // in the order in which they came
  Waiting constant;  // those that wait for zero alone: they go first
  absl::flat_hash_map<SemUndoList*, std::vector<int16_t>> undo;
};

// The semaphores of an IPC namespace: semget(2), semop(2), semctl(2). Linux: ipc/sem.c. Thread-safe.
class SemaphoreSets : public RefCounted {
 public:
  // /proc/sys/kernel/sem.
  struct Limits {
    int per_set = 32000;
    int all = 1024000000;
    int ops = 500;  // of one call
    int sets = 32000;
  };
  Limits limits() const ABSL_LOCKS_EXCLUDED(mu_);
  void SetLimits(const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<int> Get(key_t key, int count, int flags, const auth::Credentials& cred) ABSL_LOCKS_EXCLUDED(mu_);

  // ops: at least one. undo: the calling task's.
  ErrnoOr<Ref<SemOperation>> Begin(int id, std::vector<sembuf> ops, pid_t pid, SemUndoList& undo,
                                   const auth::Credentials& cred) ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing while it waits.
  std::optional<ErrnoOrVoid> ResultOf(const SemOperation& op) const ABSL_LOCKS_EXCLUDED(mu_);
  // Waits no longer, unless there is a result already.
  std::optional<ErrnoOrVoid> Withdraw(SemOperation& op) ABSL_LOCKS_EXCLUDED(mu_);

  // semctl(2).
  ErrnoOr<Described<semid64_ds>> Describe(int id, Lookup how, const auth::Credentials& cred) const
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Change(int id, const semid64_ds& wanted, const auth::Credentials& cred)
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Remove(int id, const auth::Credentials& cred) ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOr<std::vector<uint16_t>> Values(int id, const auth::Credentials& cred) const ABSL_LOCKS_EXCLUDED(mu_);
  // How many values SetValues takes.
  ErrnoOr<size_t> CountForSet(int id, const auth::Credentials& cred) const ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid SetValues(int id, std::span<const uint16_t> values, pid_t pid, const auth::Credentials& cred)
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid SetValue(int id, int index, int value, pid_t pid, const auth::Credentials& cred)
      ABSL_LOCKS_EXCLUDED(mu_);
  // GETVAL, GETPID, GETNCNT, GETZCNT.
  ErrnoOr<int> Ask(int id, int index, int what, const auth::Credentials& cred) const ABSL_LOCKS_EXCLUDED(mu_);
  // IPC_INFO and SEM_INFO (`usage`): the highest index.
  int Info(bool usage, seminfo* info) const ABSL_LOCKS_EXCLUDED(mu_);
  // For /proc/sysvipc/sem.
  std::vector<Described<semid64_ds>> List() const ABSL_LOCKS_EXCLUDED(mu_);

  // The last user of `undo`, of process `pid`, ends.
  void TakeBack(SemUndoList& undo, pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Those who got a result, to be told when the lock is free.
  class Done;

  ErrnoOr<int> MakeLocked(key_t key, int count, int flags, const auth::Credentials& cred)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Does all of it or nothing. False: it has to wait.
  ErrnoOr<bool> TryLocked(SemaphoreSet& set, SemOperation& op) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FinishLocked(SemaphoreSet& set, SemOperation& op, ErrnoOrVoid result, Done* done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // After a change: does what can be done now. True if something was.
  bool UpdateLocked(SemaphoreSet& set, Done* done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool UpdateConstantLocked(SemaphoreSet& set, Done* done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetUndoLocked(SemaphoreSet& set) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<SemaphoreSet*> FindLocked(int id, int access, const auth::Credentials& cred) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;  // leaf
  Limits limits_ ABSL_GUARDED_BY(mu_);
  IdTable<SemaphoreSet> table_ ABSL_GUARDED_BY(mu_);
  int64_t semaphores_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cloister::ipc

#endif  // CLOISTER_SENTRY_IPC_SEMAPHORE_SETS_H_
