#include "sentry/task/task_parts.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>

#include <limits>
#include <utility>

#include "sentry/ipc/futex_manager.h"
#include "sentry/ipc/ipc_namespace.h"
#include "sentry/ipc/sem_undo.h"

namespace cloister::task {
namespace {

// Linux: TASK_SIZE_MAX, what access_ok asks for. The vDSO lies above where mappings end.
constexpr uint64_t kUserEnd = 0x7ffffffff000;

}  // namespace

TaskParts::TaskParts(Ref<ThreadGroup> group, pid_t tid) : group_(std::move(group)), tid_(tid) {}

TaskParts::~TaskParts() = default;

ipc::SemUndoList& TaskParts::sem_undo() {
  if (!sem_undo_) sem_undo_ = MakeRef<ipc::SemUndoList>();
  return *sem_undo_;
}

void TaskParts::LeaveSemUndo() {
  if (const Ref<ipc::SemUndoList> undo = std::move(sem_undo_)) undo->DropUser(pid());
}

void TaskParts::SetCred(auth::CredRef cred) {
  quick_ids_stale_.store(true, std::memory_order_relaxed);
  absl::MutexLock lock(&own_mu_);
  cred_.swap(cred);
}

vfs::Caller TaskParts::MakeCaller() const {
  FsContext::View view = fs_->Get();
  vfs::Caller caller;
  caller.cred = cred_;
  caller.mounts = std::move(view.mounts);
  caller.root = std::move(view.root);
  caller.cwd = std::move(view.cwd);
  caller.umask = view.umask;
  caller.thread_group = pid();
  caller.files = files_.get();
  caller.max_file_size = Limit(RLIMIT_FSIZE).rlim_cur;
  return caller;
}

void TaskParts::Unshare(bool fs, bool files) {
  if (fs && fs_->ref_count() > 1) {
    Ref<FsContext> copy = fs_->Copy();
    absl::MutexLock lock(&own_mu_);
    fs_ = std::move(copy);
  }
  if (files) UnshareFiles();
}

// execve(2) unshares a table that others use.
Ref<vfs::FdTable> TaskParts::UnshareFiles() {
  if (files_->ref_count() > 1) {
    Ref<vfs::FdTable> copy = files_->Copy();
    absl::MutexLock lock(&own_mu_);
    files_ = std::move(copy);
  }
  return files_;
}

ErrnoOr<vfs::Path> TaskParts::StartOf(int dirfd, std::string_view path) const {
  if (dirfd == AT_FDCWD || path.starts_with('/')) return fs_->Get().cwd;
  const Ref<vfs::FileDescription> file = TRY(GetAnyFile(dirfd));
  if (!file->path()) return path.empty() ? Errno::kInval : Errno::kNotDir;
  if (!path.empty() && !file->inode()->is_directory()) return Errno::kNotDir;
  return file->path();
}

ErrnoOr<Ref<vfs::FileDescription>> TaskParts::GetFile(int fd) const {
  Ref<vfs::FileDescription> file = TRY(files_->Get(fd));
  if (file->is_path_only()) return Errno::kBadf;
  return file;
}

ErrnoOr<int> TaskParts::InstallFile(Ref<vfs::FileDescription> file, bool cloexec) const {
  return files_->Install(std::move(file), cloexec, 0, Limit(RLIMIT_NOFILE).rlim_cur);
}

size_t TaskParts::PaysToReadItself(const vfs::FileDescription& file) {
  constexpr uint32_t kOften = 4;  // to lend a file costs as much as some small reads
  constexpr size_t kMuch = 32 * 1024;
  constexpr size_t kNever = std::numeric_limits<size_t>::max();
  if (last_read_ != &file) reads_of_last_ = 0;
  last_read_ = &file;
  if (reads_of_last_ < kOften) ++reads_of_last_;
  if (reads_of_last_ == 1 || !thread_->ReadsFiles()) return kNever;  // most files are read once
  return reads_of_last_ == kOften ? 1 : kMuch;
}

ErrnoOr<usermem::UserBuffer> TaskParts::Buffer(uint64_t addr, uint64_t size) const {
  const uint64_t end = kUserEnd;
  if (addr > end || size > end - addr) return Errno::kFault;
  return usermem::UserBuffer(space(), addr, size);
}

ErrnoOr<usermem::UserBuffer> TaskParts::BufferOfIovec(uint64_t iov, uint64_t count) const {
  if (count > IOV_MAX) return Errno::kInval;
  const std::vector<iovec> vectors =
      TRY(usermem::CopyInArray(space(), usermem::UserPtr<const iovec>(iov), count));
  absl::InlinedVector<usermem::UserBuffer::Range, 4> ranges;
  const uint64_t end = kUserEnd;
  for (const iovec& v : vectors) {
    const uint64_t addr = reinterpret_cast<uint64_t>(v.iov_base);
    if (v.iov_len > SSIZE_MAX) return Errno::kInval;
    if (addr > end || v.iov_len > end - addr) return Errno::kFault;
    if (v.iov_len > 0) ranges.push_back({addr, v.iov_len});
  }
  return usermem::UserBuffer(space(), std::move(ranges));
}

bool TaskParts::TakeMemoryOp() {
  if (holds_memory_op_ || mm_->users() == 1) return true;
  holds_memory_op_ = mm_->TryTakeOp();
  return holds_memory_op_;
}

Block TaskParts::MemoryOpBlock() const {
  Block block;
  block.on.push_back({Ref<RefCounted>(mm_), &mm_->op_queue(), Poll::kIn});
  block.at_signal = Restart::kNoIntr;
  return block;
}

void TaskParts::ReleaseMemoryOp() {
  if (std::exchange(holds_memory_op_, false)) mm_->ReleaseOp();
}

std::vector<uint64_t> TaskParts::ReleaseWords() {
  std::vector<uint64_t> words;
  if (const uint64_t list = std::exchange(robust_list, 0); list != 0) {
    words = ipc::FutexManager::MarkRobustList(*mm_, list, tid());
  }
  const uint64_t tid_word = std::exchange(clear_child_tid, 0);
  if (tid_word != 0 && mm_->users() > 1) {
    static_cast<void>(usermem::CopyOut(space(), usermem::UserPtr<pid_t>(tid_word), 0));
    words.push_back(tid_word);
  }
  return words;
}

std::string TaskParts::name() const {
  absl::MutexLock lock(&own_mu_);
  return name_;
}

void TaskParts::SetName(std::string_view name) {
  absl::MutexLock lock(&own_mu_);
  name_ = std::string(name.substr(0, 15));
}

Ref<mm::MemoryManager> TaskParts::GetMm() const {
  absl::MutexLock lock(&own_mu_);
  return mm_;
}

Ref<vfs::FdTable> TaskParts::GetFiles() const {
  absl::MutexLock lock(&own_mu_);
  return files_;
}

Ref<FsContext> TaskParts::GetFs() const {
  absl::MutexLock lock(&own_mu_);
  return fs_;
}

auth::CredRef TaskParts::GetCred() const {
  absl::MutexLock lock(&own_mu_);
  return cred_;
}

vfs::Path TaskParts::GetExe() const {
  absl::MutexLock lock(&own_mu_);
  return exe_;
}

pid_t TaskParts::host_tid() const {
  absl::MutexLock lock(&own_mu_);
  return thread_ ? thread_->host_tid() : 0;
}

}  // namespace cloister::task
