#include "sentry/ipc/sem_undo.h"

#include "sentry/ipc/semaphore_sets.h"

namespace cloister::ipc {

SemUndoList::SemUndoList() = default;

SemUndoList::~SemUndoList() = default;

void SemUndoList::SetTable(SemaphoreSets& table) {
  absl::MutexLock lock(&mu_);
  if (!table_) table_ = Ref<SemaphoreSets>(&table);
}

void SemUndoList::DropUser(pid_t pid) {
  if (users_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  Ref<SemaphoreSets> table;
  {
    absl::MutexLock lock(&mu_);
    table = std::move(table_);
  }
  if (table) table->TakeBack(*this, pid);
}

}  // namespace cloister::ipc
