#include "sentry/task/kernel.h"

#include <time.h>

#include <utility>

#include "sentry/ipc/ipc_namespace.h"
#include "sentry/task/container_table.h"
#include "sentry/task/task.h"
#include "sentry/task/thread_group.h"
#include "sentry/wait/parker.h"

namespace cloister::task {
namespace {

constexpr pid_t kPidMax = 32768;
constexpr pid_t kFirstReusedPid = 300;  // Linux: RESERVED_PIDS

int64_t RealtimeNow() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

}  // namespace

Kernel::Kernel(std::unique_ptr<platform::Platform> platform, Machine machine, Dispatcher dispatcher)
    : platform_(std::move(platform)),
      machine_(std::move(machine)),
      dispatcher_(dispatcher),
      ipc_(MakeRef<ipc::IpcNamespace>()),
      boot_monotonic_ns_(wait::MonotonicNow()),
      boot_realtime_ns_(RealtimeNow()) {}

Kernel::~Kernel() = default;

ErrnoOr<pid_t> Kernel::AllocatePidLocked() {
  for (pid_t tries = 0; tries < kPidMax; ++tries) {
    last_pid_ = last_pid_ + 1 < kPidMax ? last_pid_ + 1 : kFirstReusedPid;
    if (!tasks_.contains(last_pid_) && !groups_.contains(last_pid_) && !id_users_.contains(last_pid_))
      return last_pid_;
  }
  return Errno::kAgain;
}

void Kernel::HoldIdLocked(pid_t id) { ++id_users_[id]; }

void Kernel::DropIdLocked(pid_t id) {
  const auto it = id_users_.find(id);
  if (it != id_users_.end() && --it->second == 0) id_users_.erase(it);
}

void Kernel::AddTaskLocked(Task& task) {
  tasks_[task.tid()] = &task;
  task_count_.fetch_add(1, std::memory_order_relaxed);
}

void Kernel::RemoveTaskLocked(Task& task) {
  const auto it = tasks_.find(task.tid());
  if (it == tasks_.end() || it->second != &task) return;
  tasks_.erase(it);
  task_count_.fetch_sub(1, std::memory_order_relaxed);
}

void Kernel::RenameTaskLocked(Task& task, pid_t tid) {
  tasks_.erase(task.tid());
  task.tid_.store(tid, std::memory_order_relaxed);
  tasks_[tid] = &task;
}

void Kernel::AddGroupLocked(ThreadGroup& group) { groups_[group.pid()] = Ref<ThreadGroup>(&group); }

void Kernel::RemoveGroupLocked(ThreadGroup& group) { groups_.erase(group.pid()); }

ThreadGroup* Kernel::InitOfLocked(const std::string& container_id) {
  const auto it = init_of_.find(container_id);
  return it != init_of_.end() ? it->second : nullptr;
}

void Kernel::ForgetInitLocked(const ThreadGroup& group) {
  const auto it = init_of_.find(group.container_id);
  if (it != init_of_.end() && it->second == &group) init_of_.erase(it);
}

Task* Kernel::FindTaskLocked(pid_t tid) {
  const auto it = tasks_.find(tid);
  if (it == tasks_.end() || !ContainerTable::Get().CallerSees(it->second->group())) return nullptr;
  return it->second;
}

ThreadGroup* Kernel::FindGroupLocked(pid_t pid) {
  const auto it = groups_.find(pid);
  if (it == groups_.end() || !ContainerTable::Get().CallerSees(*it->second)) return nullptr;
  return it->second.get();
}

std::vector<Ref<ThreadGroup>> Kernel::GroupsLocked() {
  std::vector<Ref<ThreadGroup>> all;
  all.reserve(groups_.size());
  for (const auto& [pid, group] : groups_) {
    if (ContainerTable::Get().CallerSees(*group)) all.push_back(group);
  }
  return all;
}

std::vector<Ref<ThreadGroup>> Kernel::Groups() {
  absl::MutexLock lock(&tree_mu_);
  return GroupsLocked();
}

Ref<Task> Kernel::FindTask(pid_t tid) {
  absl::MutexLock lock(&tree_mu_);
  return Ref<Task>(FindTaskLocked(tid));
}

Ref<ThreadGroup> Kernel::FindGroup(pid_t pid) {
  absl::MutexLock lock(&tree_mu_);
  return Ref<ThreadGroup>(FindGroupLocked(pid));
}

std::string Kernel::hostname() const {
  absl::MutexLock lock(&names_mu_);
  return hostname_;
}

std::string Kernel::domainname() const {
  absl::MutexLock lock(&names_mu_);
  return domainname_;
}

void Kernel::SetHostname(std::string name) {
  absl::MutexLock lock(&names_mu_);
  hostname_ = std::move(name);
}

void Kernel::SetDomainname(std::string name) {
  absl::MutexLock lock(&names_mu_);
  domainname_ = std::move(name);
}

void Kernel::CountUnimplemented(uint64_t number) {
  unimplemented_[number < kSyscallNumbers ? number : 0].fetch_add(1, std::memory_order_relaxed);
}

uint64_t Kernel::UnimplementedCount(uint64_t number) const {
  return number < kSyscallNumbers ? unimplemented_[number].load(std::memory_order_relaxed) : 0;
}

void Kernel::KillAll(int signo) {
  wait::WakeScope scope;
  siginfo_t info = {};
  info.si_signo = signo;
  info.si_code = SI_USER;
  absl::MutexLock lock(&tree_mu_);
  for (const Ref<ThreadGroup>& group : GroupsLocked()) Task::SendToGroupLocked(*group, info);
}

void Kernel::Freeze() {
  wait::WakeScope scope;
  absl::MutexLock lock(&tree_mu_);
  frozen_.store(true, std::memory_order_release);
  for (const auto& [tid, task] : tasks_) task->MarkWorkLocked();
}

void Kernel::Thaw() {
  wait::WakeScope scope;
  absl::MutexLock lock(&tree_mu_);
  frozen_.store(false, std::memory_order_release);
  for (const auto& [tid, task] : tasks_) task->MarkWorkLocked();
}

}  // namespace cloister::task
