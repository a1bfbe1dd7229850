#include "sentry/task/container_table.h"

#include <algorithm>
#include <utility>

#include "sentry/task/current.h"
#include "sentry/task/task.h"

namespace cloister::task {

ContainerTable& ContainerTable::Get() {
  static auto* const table = new ContainerTable;
  return *table;
}

const std::string& ContainerTable::PidsOfLocked(const std::string& container) const {
  const auto found = entries_.find(container);
  return found == entries_.end() || found->second.pids_of.empty() ? container : found->second.pids_of;
}

void ContainerTable::SharePids(const std::string& container, const std::string& with) {
  absl::MutexLock lock(&mu_);
  const std::string pids_of = PidsOfLocked(with);  // before the entry is made: they may be the same
  entries_[container].pids_of = pids_of;
}

bool ContainerTable::CallerSees(const ThreadGroup& group) const {
  const Task* const caller = CurrentTask::Get();
  if (caller == nullptr || caller->group().container_id == group.container_id) return true;
  absl::ReaderMutexLock lock(&mu_);
  return PidsOfLocked(caller->group().container_id) == PidsOfLocked(group.container_id);
}

void ContainerTable::SetFrozen(const std::string& container, bool frozen) {
  absl::MutexLock lock(&mu_);
  entries_[container].frozen = frozen;
}

bool ContainerTable::IsFrozen(const std::string& container) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto found = entries_.find(container);
  return found != entries_.end() && found->second.frozen;
}

bool ContainerTable::IsFrozen(const ThreadGroup& group) const {
  return group.kernel().frozen() && IsFrozen(group.container_id);
}

bool ContainerTable::AnyFrozen() const {
  absl::ReaderMutexLock lock(&mu_);
  return std::any_of(entries_.begin(), entries_.end(), [](const auto& entry) { return entry.second.frozen; });
}

void ContainerTable::SetPlacer(const std::string& container, Placer placer) {
  absl::MutexLock lock(&mu_);
  entries_[container].placer = std::make_shared<const Placer>(std::move(placer));
}

void ContainerTable::Place(const std::string& container, pid_t host_pid) const {
  std::shared_ptr<const Placer> placer;
  {
    absl::ReaderMutexLock lock(&mu_);
    const auto found = entries_.find(container);
    if (found != entries_.end()) placer = found->second.placer;
  }
  if (placer != nullptr) (*placer)(host_pid);
}

void ContainerTable::Forget(const std::string& container) {
  absl::MutexLock lock(&mu_);
  entries_.erase(container);
}

}  // namespace cloister::task
