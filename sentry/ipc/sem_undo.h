#ifndef CLOISTER_SENTRY_IPC_SEM_UNDO_H_
#define CLOISTER_SENTRY_IPC_SEM_UNDO_H_

#include <sys/types.h>

#include <atomic>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"

namespace cloister::ipc {

class SemaphoreSets;

// What SEM_UNDO is to take back when the tasks that share it (CLONE_SYSVSEM) have ended. Linux: struct
// sem_undo_list. The amounts are kept by the sets; here is the way to them. One namespace's. Thread-safe.
class SemUndoList : public RefCounted {
 public:
  SemUndoList();
  ~SemUndoList() override;

  void AddUser() { users_.fetch_add(1, std::memory_order_relaxed); }
  // The last one, of process `pid`, takes back. Linux: exit_sem.
  void DropUser(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class SemaphoreSets;

  // Remembers the sets' table, of which there is one.
  void SetTable(SemaphoreSets& table) ABSL_LOCKS_EXCLUDED(mu_);

  std::atomic<int> users_{1};
  std::set<int> sets_;  // NOLINT(guarded): ids, under the table's lock
  absl::Mutex mu_;      // leaf
  Ref<SemaphoreSets> table_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::ipc

#endif  // CLOISTER_SENTRY_IPC_SEM_UNDO_H_
