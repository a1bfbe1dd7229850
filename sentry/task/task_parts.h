#ifndef CLOISTER_SENTRY_TASK_TASK_PARTS_H_
#define CLOISTER_SENTRY_TASK_TASK_PARTS_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "platform/api/guest_thread.h"
#include "sentry/auth/credentials.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/seccomp/filter.h"
#include "sentry/task/fs_context.h"
#include "sentry/task/kernel.h"
#include "sentry/task/outcome.h"
#include "sentry/task/thread_group.h"
#include "sentry/usermem/user_buffer.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/fd_table.h"
#include "sentry/vfs/write_denial.h"

namespace cloister::ipc {
class IpcNamespace;
class SemUndoList;
}  // namespace cloister::ipc

namespace cloister::task {

// What a task is made of, and what the handlers of syscalls work with: its process, memory, files
// and credentials. Owner: see Task.
class TaskParts {
 public:
  Kernel& kernel() const { return group_->kernel(); }
  ThreadGroup& group() const { return *group_; }
  pid_t tid() const { return tid_.load(std::memory_order_relaxed); }
  pid_t pid() const { return group_->pid(); }

  // ---- For syscall handlers (owner) ----

  usermem::AddressSpace& space() const { return mm_->space(); }
  mm::MemoryManager& mm() const { return *mm_; }
  vfs::FdTable& files() const { return *files_; }
  FsContext& fs() const { return *fs_; }
  ipc::IpcNamespace& ipc() const { return *ipc_; }
  // What SEM_UNDO has to take back when this task and those that share it (CLONE_SYSVSEM) have ended; made
  // on first use.
  ipc::SemUndoList& sem_undo();
  const auth::CredRef& cred() const { return cred_; }
  void SetCred(auth::CredRef cred) ABSL_LOCKS_EXCLUDED(own_mu_);
  rlimit Limit(int resource) const { return group_->Limit(resource); }

  // The VFS' view of this task.
  vfs::Caller MakeCaller() const;
  // Where `path` begins: cwd for AT_FDCWD or an absolute path, else the directory dirfd (kBadf, kNotDir when
  // path is not empty).
  ErrnoOr<vfs::Path> StartOf(int dirfd, std::string_view path) const;

  // An open file that may be used for I/O; kBadf for O_PATH ones.
  ErrnoOr<Ref<vfs::FileDescription>> GetFile(int fd) const;
  // Any open file, O_PATH included.
  ErrnoOr<Ref<vfs::FileDescription>> GetAnyFile(int fd) const { return files_->Get(fd); }
  // The lowest free descriptor within RLIMIT_NOFILE.
  ErrnoOr<int> InstallFile(Ref<vfs::FileDescription> file, bool cloexec) const;

  // A range of guest memory for one read or write: kFault where it leaves the address space.
  ErrnoOr<usermem::UserBuffer> Buffer(uint64_t addr, uint64_t size) const;
  // An iovec array of at most 1024 entries (kInval), as readv(2) takes it.
  ErrnoOr<usermem::UserBuffer> BufferOfIovec(uint64_t iov, uint64_t count) const;

  template <typename T>
  ErrnoOr<std::remove_const_t<T>> CopyIn(usermem::UserPtr<T> from) const {
    return usermem::CopyIn(space(), from);
  }
  template <typename T>
  ErrnoOrVoid CopyOut(usermem::UserPtr<T> to, const std::type_identity_t<T>& value) const {
    return usermem::CopyOut(space(), to, value);
  }
  ErrnoOr<std::string> CopyInPath(uint64_t addr) const { return usermem::CopyInPath(space(), addr); }

  // unshare(2) of CLONE_SYSVSEM, and the end: takes back what SEM_UNDO has promised, unless others share it.
  void LeaveSemUndo();
  // unshare(2) of CLONE_FS and CLONE_FILES.
  void Unshare(bool fs, bool files) ABSL_LOCKS_EXCLUDED(own_mu_);

  // mmap(2) and its kin: one operation at a time on memory that several tasks use. False while
  // another task has it under way: answer MemoryOpBlock() from Step and try again. Taken, it is given
  // back when the RunPlan, CloneControl or plain Answer of the call has been carried out.
  bool TakeMemoryOp();
  Block MemoryOpBlock() const;

  // The registers at the trap (owner, while a syscall is served).
  platform::Registers& regs() { return thread_->regs(); }
  // Whether futexes are the host's (owner).
  bool HasNativeFutexes() const { return thread_->HasNativeFutexes(); }
  // A read of a file: from how many bytes on it pays that the thread reads them itself, if the file is the
  // host's (owner).
  size_t PaysToReadItself(const vfs::FileDescription& file);
  // One such read that failed, until the call has been served (owner).
  std::optional<vfs::FileDescription::HostRead> failed_read;
  // What the operations gave that a call's Step asked for: a value, or -errno (owner).
  int64_t ops_result = 0;

  // ---- What the other threads may ask ----

  // prctl(PR_SET_NAME), /proc/PID/comm: at most 15 bytes.
  std::string name() const ABSL_LOCKS_EXCLUDED(own_mu_);
  void SetName(std::string_view name) ABSL_LOCKS_EXCLUDED(own_mu_);
  // The parts, safe from any thread; null when the task has let go of them (it ends).
  Ref<mm::MemoryManager> GetMm() const ABSL_LOCKS_EXCLUDED(own_mu_);
  Ref<vfs::FdTable> GetFiles() const ABSL_LOCKS_EXCLUDED(own_mu_);
  Ref<FsContext> GetFs() const ABSL_LOCKS_EXCLUDED(own_mu_);
  auth::CredRef GetCred() const ABSL_LOCKS_EXCLUDED(own_mu_);
  vfs::Path GetExe() const ABSL_LOCKS_EXCLUDED(own_mu_);
  pid_t host_tid() const ABSL_LOCKS_EXCLUDED(own_mu_);

  // ---- set_tid_address(2), robust lists, prctl(2) (owner) ----
  uint64_t clear_child_tid = 0;
  uint64_t robust_list = 0;
  int parent_death_signal = 0;  // PR_SET_PDEATHSIG
  uint64_t timer_slack_ns = 50'000;
  bool dumpable = true;
  int io_priority = 0;
  std::atomic<int> nice{0};
  std::atomic<uint32_t> personality{0};  // personality(2)
  // PR_SET_NO_NEW_PRIVS: never cleared. Another thread sets it by SECCOMP_FILTER_FLAG_TSYNC, under tree_mu.
  std::atomic<bool> no_new_privs{false};
  // seccomp(2). Changed by Seccomp alone; the owner reads it without a lock.
  seccomp::FilterSlot filters;

 protected:
  TaskParts(Ref<ThreadGroup> group, pid_t tid);
  ~TaskParts();

  void ReleaseMemoryOp();
  // What others may wait for in the memory is let go; a waiter of each word that is returned is to be woken.
  // Linux: mm_release.
  std::vector<uint64_t> ReleaseWords();
  // The table, its own from now on.
  Ref<vfs::FdTable> UnshareFiles() ABSL_LOCKS_EXCLUDED(own_mu_);

  std::atomic<bool> quick_ids_stale_{true};  // what the platform answers getuid(2) and its kin with

  const Ref<ThreadGroup> group_;
  std::atomic<pid_t> tid_;  // changes once, when a thread that is not the leader calls execve(2)

  // Owner. Others read them through the Get… functions; changed under own_mu_ too.
  Ref<mm::MemoryManager> mm_;
  Ref<vfs::FdTable> files_;
  Ref<FsContext> fs_;
  Ref<ipc::IpcNamespace> ipc_;
  Ref<ipc::SemUndoList> sem_undo_;            // owner alone
  std::vector<platform::HostOp> last_wakes_;  // of futexes; owner alone
  // The thread's own reads; owner alone.
  ReadHostFile host_read_;     // under way; its file is kept while it is being lent
  uint64_t lent_read_id_ = 0;  // what was lent last
  const void* last_read_ = nullptr;
  uint32_t reads_of_last_ = 0;
  auth::CredRef cred_;
  vfs::Path exe_;
  std::shared_ptr<const vfs::WriteDenial> exe_denial_;  // while it runs, nobody writes it
  Ref<platform::GuestThread> thread_;
  std::string name_;
  mutable absl::Mutex own_mu_;

  bool holds_memory_op_ = false;  // NOLINT(guarded): owner
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_TASK_PARTS_H_
