#ifndef CLOISTER_SENTRY_FS_PROC_SUBJECT_H_
#define CLOISTER_SENTRY_FS_PROC_SUBJECT_H_

#include <sys/types.h>

#include <cstdint>
#include <utility>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/auth/credentials.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/task/fs_context.h"
#include "sentry/task/kernel.h"
#include "sentry/task/task.h"
#include "sentry/task/thread_group.h"
#include "sentry/vfs/fd_table.h"
#include "sentry/vfs/inode.h"

namespace cloister::proc {

// Whom a directory of proc is about: a process, or one of its threads. Linux: proc_inode's struct pid.
// A value; it may outlive the process, whose parts are then missing. Every question takes the locks
// it needs: none may be held.
class Subject {
 public:
  static Subject OfProcess(Ref<task::ThreadGroup> group) { return {std::move(group), nullptr}; }
  static Subject OfThread(Ref<task::Task> task) {
    Ref<task::ThreadGroup> group(&task->group());
    return {std::move(group), std::move(task)};
  }

  task::Kernel& kernel() const { return group_->kernel(); }
  task::ThreadGroup& group() const { return *group_; }
  bool is_thread() const { return static_cast<bool>(thread_); }
  // Pid or tid.
  pid_t id() const { return thread_ ? thread_->tid() : group_->pid(); }
  pid_t pid() const { return group_->pid(); }

  // Whether it is still known; a zombie is.
  bool Exists() const;
  // The thread; of a process its leader, or another one where that has ended. Null: a zombie.
  Ref<task::Task> Find() const;
  // The same, or kSrch.
  ErrnoOr<Ref<task::Task>> Get() const;

  // Parts of Find(); null where the task has let go of them. Memory is never there without a space.
  Ref<mm::MemoryManager> Memory() const;
  Ref<vfs::FdTable> Files() const;
  Ref<task::FsContext> Fs() const;

  // Owner of its files. Linux: task_dump_owner. Root's where it is not dumpable, but for directories
  // that everybody may look at.
  vfs::Ownership Owner(mode_t mode) const;
  // Linux: ptrace_may_access with PTRACE_MODE_READ_FSCREDS. ptrace(2) has the rules.
  bool MayInspect(const auth::Credentials& by) const;
  // kAcces where not.
  ErrnoOrVoid CheckInspect(const auth::Credentials& by) const;

  friend bool operator==(const Subject& a, const Subject& b) {
    return a.group_ == b.group_ && a.thread_ == b.thread_;
  }

  // Numbers of the inodes that are about it, the same whenever they are made.
  enum class Section : uint64_t { kFiles, kFd, kFdInfo, kTask, kNamespaces, kNet };
  uint64_t InodeNumber(Section section, uint32_t index) const;

 private:
  Subject(Ref<task::ThreadGroup> group, Ref<task::Task> thread)
      : group_(std::move(group)), thread_(std::move(thread)) {}

  Ref<task::ThreadGroup> group_;
  Ref<task::Task> thread_;
};

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_SUBJECT_H_
