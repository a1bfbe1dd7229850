#include "sentry/fs/mqueue/mqueue_nodes.h"

#include <dirent.h>

#include "absl/strings/str_format.h"
#include "sentry/task/current.h"
#include "sentry/task/task.h"

namespace cloister::mqueue {
namespace {

constexpr uint64_t kFileSize = 80;        // Linux: FILENT_SIZE
constexpr uint64_t kDirectoryEntry = 20;  // DIRENT_SIZE

// Whose resources a new queue takes.
MqueueFs::Creator CurrentCreator() {
  const task::Task* const task = task::CurrentTask::Get();
  if (task == nullptr) return {0, true, ~uint64_t{0}};
  return {task->cred()->uid, task->cred()->Has(CAP_SYS_RESOURCE), task->Limit(RLIMIT_MSGQUEUE).rlim_cur};
}

// A queue, open. read(2) tells its state; messages go by calls of their own.
class QueueFile final : public vfs::SeekableFile {
 public:
  QueueFile(const vfs::OpenRequest& request, Ref<QueueInode> inode)
      : SeekableFile(request.flags & ~O_APPEND, request.path, request.cred), inode_(std::move(inode)) {}

  Ref<vfs::Inode> inode() const override { return inode_; }

  ErrnoOr<size_t> ReadAt(usermem::UserBuffer& dst, int64_t offset) override {
    const Notification told = inode_->queue().notification();
    const bool some = told.owner != 0;
    const std::string text = absl::StrFormat("QSIZE:%-10u NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
                                             inode_->queue().bytes(), some ? told.kind : 0,
                                             some && told.kind == SIGEV_SIGNAL ? told.signal : 0, told.owner);
    if (offset < 0) return Errno::kInval;
    if (static_cast<uint64_t>(offset) >= text.size()) return size_t{0};
    return dst.CopyOut(std::as_bytes(std::span(text).subspan(static_cast<size_t>(offset))));
  }
  ErrnoOr<size_t> WriteAt(usermem::UserBuffer&, int64_t) override { return Errno::kInval; }

  wait::Poll Ready() const override { return inode_->queue().Ready(); }
  wait::WaitQueue* wait_queue() override { return &inode_->queue().queue(); }

  // Linux: mqueue_flush_file. Whoever closes any of its descriptors is not told any more.
  ErrnoOrVoid Flush() override {
    if (const task::Task* const task = task::CurrentTask::Get())
      inode_->queue().RemoveNotification(task->pid());
    return {};
  }

 protected:
  ErrnoOr<uint64_t> Size() override { return kFileSize; }

 private:
  const Ref<QueueInode> inode_;
};

}  // namespace

QueueInode::QueueInode(const Ref<MqueueFs>& fs, const vfs::NewNode& node, const mq_attr& attr, uid_t payer,
                       uint64_t charge)
    : Inode(fs, S_IFREG),
      owner_(*fs),
      payer_(payer),
      charge_(charge),
      attr_(*fs, S_IFREG, {.mode = node.mode & 07777, .uid = node.uid, .gid = node.gid, .changeable = true}),
      queue_(attr.mq_maxmsg, attr.mq_msgsize) {}

QueueInode::~QueueInode() { owner_.Uncharge(payer_, charge_); }

ErrnoOr<struct statx> QueueInode::GetAttr() {
  struct statx attr = attr_.Get();
  attr.stx_size = kFileSize;
  if (unlinked_.load(std::memory_order_relaxed)) attr.stx_nlink = 0;
  return attr;
}

ErrnoOr<Ref<vfs::FileDescription>> QueueInode::Open(const vfs::OpenRequest& request) {
  return Ref<vfs::FileDescription>(MakeRef<QueueFile>(request, Ref<QueueInode>(this)));
}

QueueDirectory::QueueDirectory(const Ref<MqueueFs>& fs)
    : Directory(fs, {.mode = 01777, .changeable = true, .links = 2}), fs_(fs) {}

ErrnoOr<struct statx> QueueDirectory::GetAttr() {
  struct statx attr = TRY(Directory::GetAttr());
  absl::MutexLock lock(&mu_);
  attr.stx_size = (queues_.size() + 2) * kDirectoryEntry;
  return attr;
}

ErrnoOr<Ref<vfs::Inode>> QueueDirectory::CreateQueue(std::string_view name, const vfs::NewNode& node,
                                                     const mq_attr* attr) {
  if (!S_ISREG(node.mode)) return Errno::kPerm;
  const MqueueFs::Creator creator = CurrentCreator();
  mq_attr sizes = attr != nullptr ? *attr : mq_attr{};
  const uint64_t charge = TRY(fs_->Charge(creator, &sizes, attr == nullptr));
  Ref<QueueInode> inode = MakeRef<QueueInode>(fs_, node, sizes, creator.uid, charge);
  absl::MutexLock lock(&mu_);
  if (cookies_.contains(name)) return Errno::kExist;
  const int64_t cookie = next_cookie_++;
  cookies_.emplace(std::string(name), cookie);
  queues_.emplace(cookie, std::pair(std::string(name), inode));
  return Ref<vfs::Inode>(std::move(inode));
}

ErrnoOr<Ref<vfs::Inode>> QueueDirectory::Create(std::string_view name, const vfs::NewNode& node) {
  return CreateQueue(name, node, nullptr);
}

ErrnoOr<Ref<vfs::Inode>> QueueDirectory::Lookup(std::string_view name) {
  absl::MutexLock lock(&mu_);
  const auto found = cookies_.find(name);
  if (found == cookies_.end()) return Errno::kNoEnt;
  return Ref<vfs::Inode>(queues_.at(found->second).second);
}

ErrnoOrVoid QueueDirectory::Unlink(std::string_view name, vfs::Inode&) {
  Ref<QueueInode> gone;
  absl::MutexLock lock(&mu_);
  const auto found = cookies_.find(name);
  if (found == cookies_.end()) return Errno::kNoEnt;
  const auto queue = queues_.find(found->second);
  gone = std::move(queue->second.second);
  gone->SetUnlinked();
  queues_.erase(queue);
  cookies_.erase(found);
  return {};
}

ErrnoOrVoid QueueDirectory::Emit(int64_t from, EmitFn emit) {
  absl::MutexLock lock(&mu_);
  for (auto it = queues_.lower_bound(from); it != queues_.end(); ++it) {
    const auto& [name, inode] = it->second;
    if (!emit({inode->number(), DT_REG, name, it->first + 1})) break;
  }
  return {};
}

}  // namespace cloister::mqueue
