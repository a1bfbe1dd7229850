#include "sentry/fs/proc/subject.h"

#include <sys/stat.h>

#include "sentry/task/current.h"
#include "sentry/task/ptrace_access.h"

namespace cloister::proc {
namespace {

uid_t UidOf(task::ThreadGroup& group) {
  absl::MutexLock lock(&group.kernel().tree_mu());
  return group.uid;
}

}  // namespace

bool Subject::Exists() const {
  absl::MutexLock lock(&kernel().tree_mu());
  if (thread_) return kernel().FindTaskLocked(thread_->tid()) == thread_.get();
  return group_->state != task::ThreadGroup::State::kReaped;
}

Ref<task::Task> Subject::Find() const {
  absl::MutexLock lock(&kernel().tree_mu());
  if (thread_) return kernel().FindTaskLocked(thread_->tid()) == thread_.get() ? thread_ : nullptr;
  return group_->tasks.empty() ? nullptr : Ref<task::Task>(group_->tasks.front());
}

ErrnoOr<Ref<task::Task>> Subject::Get() const {
  Ref<task::Task> task = Find();
  if (!task) return Errno::kSrch;
  return task;
}

Ref<mm::MemoryManager> Subject::Memory() const {
  const Ref<task::Task> task = Find();
  return task ? task->GetMm() : nullptr;
}

Ref<vfs::FdTable> Subject::Files() const {
  const Ref<task::Task> task = Find();
  return task ? task->GetFiles() : nullptr;
}

Ref<task::FsContext> Subject::Fs() const {
  const Ref<task::Task> task = Find();
  return task ? task->GetFs() : nullptr;
}

vfs::Ownership Subject::Owner(mode_t mode) const {
  const Ref<task::Task> task = Find();
  const auth::CredRef cred = task ? task->GetCred() : nullptr;
  if (!cred) return {mode, UidOf(*group_), 0};
  if (mode != (S_IFDIR | 0555) && !task::IsDumpable(*task)) return {mode, 0, 0};
  return {mode, cred->euid, cred->egid};
}

bool Subject::MayInspect(const auth::Credentials& by) const {
  const task::Task* const asking = task::CurrentTask::Get();
  if (asking != nullptr && &asking->group() == group_.get()) return true;
  const Ref<task::Task> task = Find();
  if (!task) return by.fsuid == UidOf(*group_) || by.Has(CAP_SYS_PTRACE);
  return task::MayAccess(by, *task, task::AccessMode::kFsCreds);
}

ErrnoOrVoid Subject::CheckInspect(const auth::Credentials& by) const {
  if (!MayInspect(by)) return Errno::kAcces;
  return {};
}

uint64_t Subject::InodeNumber(Section section, uint32_t index) const {
  return static_cast<uint64_t>(id()) << 36 | uint64_t{is_thread()} << 35 |
         static_cast<uint64_t>(section) << 32 | index;
}

}  // namespace cloister::proc
