// /proc/PID/mem: the memory of a process, read and written whatever its protection says.

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "sentry/fs/proc/memory_text.h"
#include "sentry/fs/proc/subject_nodes.h"
#include "sentry/task/errand.h"

namespace cloister::proc {
namespace {

using vfs::UserBuffer;

constexpr size_t kMostAtOnce = 64 << 10;

// One open file. Linux: mem_open: it stays with the memory that the process had, whatever it executes.
// An access that needs the help of the process' threads is under way for one reader or writer at a time.
class MemFile final : public vfs::FileDescription, private wait::Waiter {
 public:
  MemFile(const vfs::OpenRequest& request, Ref<vfs::Inode> inode, const Subject& subject,
          Ref<mm::MemoryManager> memory)
      : FileDescription(request.flags & ~O_APPEND, request.path, request.cred),
        inode_(std::move(inode)),
        subject_(subject),
        memory_(std::move(memory)) {
    if (memory_) memory_->op_queue().Add(op_entry_, *this, wait::Poll::kIn);
  }
  ~MemFile() override {
    if (memory_) memory_->op_queue().Remove(op_entry_);
  }

  Ref<vfs::Inode> inode() const override { return inode_; }
  wait::WaitQueue* wait_queue() override { return &queue_; }

  ErrnoOr<size_t> Read(UserBuffer& dst) override ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    const size_t done = TRY(ReadLocked(dst, position_));
    position_ += static_cast<int64_t>(done);
    return done;
  }
  ErrnoOr<size_t> Write(UserBuffer& src) override ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    const size_t done = TRY(WriteLocked(src, position_));
    position_ += static_cast<int64_t>(done);
    return done;
  }
  ErrnoOr<size_t> ReadAt(UserBuffer& dst, int64_t offset) override ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return ReadLocked(dst, offset);
  }
  ErrnoOr<size_t> WriteAt(UserBuffer& src, int64_t offset) override ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return WriteLocked(src, offset);
  }
  // Linux: mem_lseek. There is no end.
  ErrnoOr<int64_t> Seek(int64_t offset, int whence) override ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (whence != SEEK_SET && whence != SEEK_CUR) return Errno::kInval;
    const uint64_t base = whence == SEEK_SET ? 0 : static_cast<uint64_t>(position_);
    position_ = static_cast<int64_t>(base + static_cast<uint64_t>(offset));
    return position_;
  }

 private:
  struct Access {
    task::ForcedAccess memory;
    bool write;
    uint64_t addr;
    std::vector<std::byte> bytes;  // as they were at the beginning
  };

  // The memory's other operation has ended.
  void OnEvent(wait::Poll) override { queue_.Notify(wait::Poll::kIn | wait::Poll::kOut); }

  ErrnoOr<size_t> ReadLocked(UserBuffer& dst, int64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::vector<std::byte> bytes(std::min(dst.size(), kMostAtOnce));
    if (!IsAlive() || bytes.empty()) return 0;
    TRY(AccessLocked(false, static_cast<uint64_t>(offset), &bytes));
    return dst.CopyOut(bytes);
  }

  ErrnoOr<size_t> WriteLocked(UserBuffer& src, int64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::vector<std::byte> bytes(std::min(src.size(), kMostAtOnce));
    if (!IsAlive() || bytes.empty()) return 0;
    UserBuffer look = src;  // asked again, it begins at the same place
    bytes.resize(TRY(look.CopyIn(bytes)));
    const size_t done = TRY(AccessLocked(true, static_cast<uint64_t>(offset), &bytes));
    src.Skip(done);
    return done;
  }

  bool IsAlive() const { return memory_ && memory_->users() > 0; }

  // As much as there is, at least a byte; else kIo.
  ErrnoOr<size_t> AccessLocked(bool write, uint64_t addr, std::vector<std::byte>* bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    wait::Block block;
    for (;;) {
      const bool mine =
          access_ && access_->write == write && access_->addr == addr && access_->bytes == *bytes;
      if (!access_) {
        Ref<task::Task> task = subject_.Find();
        if (!task) return 0;
        task::ForcedAccess memory(std::move(task), memory_, write, addr, *bytes);
        memory.TellAlso(Ref<RefCounted>(this), &queue_);
        access_ = Access{std::move(memory), write, addr, *bytes};
        continue;
      }
      // Where whoever began it does not come back for it, it is the next one's to end.
      const size_t done = TRY(access_->memory.Step(&block));
      if (mine && !write) *bytes = access_->memory.bytes();
      access_.reset();
      if (!mine) continue;
      if (done == 0) return Errno::kIo;
      bytes->resize(done);
      return done;
    }
  }

  const Ref<vfs::Inode> inode_;
  const Subject subject_;
  const Ref<mm::MemoryManager> memory_;  // null: there was none
  wait::WaitEntry op_entry_;             // NOLINT(guarded): added and removed once
  wait::WaitQueue queue_;                // NOLINT(guarded): thread-safe
  absl::Mutex mu_;                       // above Kernel::tree_mu()
  int64_t position_ ABSL_GUARDED_BY(mu_) = 0;
  std::optional<Access> access_ ABSL_GUARDED_BY(mu_);
};

class MemNode final : public SubjectText {
 public:
  using SubjectText::SubjectText;

  ErrnoOr<std::string> Generate() override { return Errno::kIo; }
  // Linux: PTRACE_MODE_ATTACH_FSCREDS.
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override {
    if (!subject().Exists()) return Errno::kSrch;
    TRY_VOID(subject().CheckInspect(*request.cred));
    return Ref<vfs::FileDescription>(
        MakeRef<MemFile>(request, Ref<vfs::Inode>(this), subject(), subject().Memory()));
  }
};

}  // namespace

Ref<vfs::Inode> MakeMemFile(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec) {
  return MakeRef<MemNode>(std::move(tree), subject, spec);
}

}  // namespace cloister::proc
