#include "sentry/fs/cgroup/members.h"

#include <algorithm>
#include <limits>
#include <string>

#include "sentry/fs/kernfs/text_file.h"
#include "sentry/task/current.h"
#include "sentry/task/task.h"
#include "sentry/task/thread_group.h"
#include "sentry/task/usage.h"

namespace cloister::cgroup {
namespace {

bool IsMember(const task::ThreadGroup& group) {
  const task::Task* const reader = task::CurrentTask::Get();
  return reader == nullptr || reader->group().container_id == group.container_id;
}

}  // namespace

std::vector<Ref<task::ThreadGroup>> Members::Groups() const {
  std::vector<Ref<task::ThreadGroup>> groups = kernel_.Groups();
  std::erase_if(groups, [](const Ref<task::ThreadGroup>& group) { return !IsMember(*group); });
  return groups;
}

std::vector<pid_t> Members::Processes() const {
  const std::vector<Ref<task::ThreadGroup>> groups = Groups();
  std::vector<pid_t> pids;
  absl::MutexLock lock(&kernel_.tree_mu());
  for (const Ref<task::ThreadGroup>& group : groups)
    if (!group->tasks.empty()) pids.push_back(group->pid());
  return pids;
}

std::vector<pid_t> Members::Threads() const {
  const std::vector<Ref<task::ThreadGroup>> groups = Groups();
  std::vector<pid_t> tids;
  {
    absl::MutexLock lock(&kernel_.tree_mu());
    for (const Ref<task::ThreadGroup>& group : groups)
      for (const task::Task* const task : group->tasks) tids.push_back(task->tid());
  }
  std::sort(tids.begin(), tids.end());
  return tids;
}

ErrnoOrVoid Members::Move(std::string_view text) const {
  const int64_t tid = TRY(kernfs::ParseNumber(text, 0, std::numeric_limits<pid_t>::max()));
  if (tid == 0) return {};
  const Ref<task::Task> task = kernel_.FindTask(static_cast<pid_t>(tid));
  if (!task || !IsMember(task->group())) return Errno::kSrch;
  return {};
}

uint64_t Members::MemoryBytes() const {
  uint64_t used = 0;
  for (const Ref<task::ThreadGroup>& group : Groups()) used += group->ResidentBytes();
  return std::min(used, kernel_.machine().total_memory);
}

uint64_t Members::CpuMicroseconds() const {
  uint64_t sum = 0;
  for (const Ref<task::ThreadGroup>& group : Groups()) {
    sum += task::ProcessCpuNs(*group);
    absl::MutexLock lock(&kernel_.tree_mu());
    sum += task::CpuNsOf(group->children_usage);
  }
  // What a process used that nobody waited for is forgotten with it.
  uint64_t seen = cpu_seen_.load(std::memory_order_relaxed);
  while (seen < sum && !cpu_seen_.compare_exchange_weak(seen, sum, std::memory_order_relaxed)) {
  }
  return std::max(seen, sum) / 1000;
}

}  // namespace cloister::cgroup
