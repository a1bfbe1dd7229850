#include "sentry/fs/mqueue/mqueue_fs.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "sentry/fs/mqueue/mqueue_nodes.h"
#include "sentry/vfs/dentry.h"
#include "sentry/vfs/file_events.h"
#include "sentry/vfs/operations.h"

namespace cloister::mqueue {
namespace {

constexpr char kType[] = "mqueue";
constexpr uint32_t kMagic = 0x19800202;           // Linux: MQUEUE_MAGIC
constexpr int64_t kMostMessages = 65536;          // HARD_MSGMAX
constexpr int64_t kMostBytes = 16 * 1024 * 1024;  // HARD_MSGSIZEMAX
constexpr uint64_t kMessageOverhead = 48;         // sizeof(struct msg_msg)
constexpr uint64_t kPriorityOverhead = 48;        // sizeof(struct posix_msg_tree_node)

// What a namespace keeps: the tree that all mounts and mq_open(2) share. Linux: mq_mnt.
class Internal final : public RefCounted {
 public:
  explicit Internal(ipc::IpcNamespace& ipc) {
    const Ref<MqueueFs> fs = MakeRef<MqueueFs>(Ref<ipc::MqueueLimits>(&ipc.mqueue_limits()));
    mount_ = MakeRef<vfs::Mount>(fs, vfs::Dentry::MakeRoot(MakeRef<QueueDirectory>(fs)), uint64_t{0}, kType);
  }
  const Ref<vfs::Mount>& mount() const { return mount_; }

 private:
  Ref<vfs::Mount> mount_;
};

Ref<vfs::Mount> InternalMount(ipc::IpcNamespace& ipc) {
  const Ref<RefCounted> internal = ipc.Mqueue([&]() -> Ref<RefCounted> { return MakeRef<Internal>(ipc); });
  return static_cast<const Internal&>(*internal).mount();
}

// Linux: lookup_one_len. Names have no directories here.
ErrnoOrVoid CheckName(std::string_view name) {
  if (name.empty()) return Errno::kNoEnt;
  if (name == "." || name == ".." || name.find('/') != std::string_view::npos) return Errno::kAcces;
  return name.size() > NAME_MAX ? ErrnoOrVoid(Errno::kNameTooLong) : Ok();
}

int AccessOf(int flags) {
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return R_OK;
    case O_WRONLY:
      return W_OK;
    default:
      return R_OK | W_OK;
  }
}

// The directory's lock is held.
ErrnoOr<Ref<vfs::Dentry>> CreateLocked(vfs::Dentry& root, const vfs::Caller& caller, std::string_view name,
                                       mode_t mode, const mq_attr* attr)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(root.mu()) {
  const Ref<vfs::Inode> directory = root.inode();
  TRY_VOID(vfs::CheckPermission(*caller.cred, TRY(directory->GetOwnership()), W_OK | X_OK));
  const vfs::NewNode node{S_IFREG | (mode & ~caller.umask & 07777), caller.cred->fsuid, caller.cred->fsgid,
                          0};
  Ref<vfs::Inode> inode = TRY(static_cast<QueueDirectory&>(*directory).CreateQueue(name, node, attr));
  vfs::FileEvents::TellOfEntry(*directory, name, *inode, IN_CREATE);
  return root.SetChildLocked(name, std::move(inode));
}

}  // namespace

MqueueFs::MqueueFs(Ref<ipc::MqueueLimits> limits) : Tree(kType, kMagic), limits_(std::move(limits)) {}

// Linux: mqueue_get_inode.
ErrnoOr<uint64_t> MqueueFs::Charge(const Creator& creator, mq_attr* attr, bool defaults) {
  const ipc::MqueueLimits::Limits limits = limits_->limits();
  absl::MutexLock lock(&mu_);
  if (queues_ >= limits.queues && !creator.capable) return Errno::kNoSpc;
  if (defaults) {
    attr->mq_maxmsg = std::min(limits.messages, limits.default_messages);
    attr->mq_msgsize = std::min(limits.message_bytes, limits.default_message_bytes);
  }
  const int64_t most_messages = creator.capable ? kMostMessages : limits.messages;
  const int64_t most_bytes = creator.capable ? kMostBytes : limits.message_bytes;
  if (attr->mq_maxmsg <= 0 || attr->mq_msgsize <= 0) return Errno::kInval;
  if (attr->mq_maxmsg > most_messages || attr->mq_msgsize > most_bytes) return Errno::kInval;
  const auto messages = static_cast<uint64_t>(attr->mq_maxmsg);
  const uint64_t bytes = messages * static_cast<uint64_t>(attr->mq_msgsize) + messages * kMessageOverhead +
                         std::min<uint64_t>(messages, MQ_PRIO_MAX) * kPriorityOverhead;
  const auto found = bytes_.find(creator.uid);
  const uint64_t used = found != bytes_.end() ? found->second : 0;
  if (used + bytes > creator.limit) return Errno::kMFile;
  bytes_[creator.uid] = used + bytes;
  ++queues_;
  return bytes;
}

void MqueueFs::Uncharge(uid_t uid, uint64_t bytes) {
  absl::MutexLock lock(&mu_);
  --queues_;
  const auto used = bytes_.find(uid);
  used->second -= bytes;
  if (used->second == 0) bytes_.erase(used);
}

QueueInode* InodeOf(vfs::FileDescription& file) {
  if (file.is_path_only()) return nullptr;
  const Ref<vfs::Inode> inode = file.inode();
  if (!inode || inode->type() != S_IFREG || inode->fs().type().data() != kType) return nullptr;
  return static_cast<QueueInode*>(inode.get());  // which the file keeps
}

Ref<vfs::Mount> MountMqueue(ipc::IpcNamespace& ipc, uint64_t flags, std::string source) {
  const Ref<vfs::Mount> internal = InternalMount(ipc);
  return MakeRef<vfs::Mount>(Ref<vfs::FileSystem>(&internal->fs()), internal->root(), flags,
                             std::move(source));
}

ErrnoOr<Ref<vfs::FileDescription>> OpenQueue(ipc::IpcNamespace& ipc, const vfs::Caller& caller,
                                             std::string_view name, int flags, mode_t mode,
                                             const mq_attr* attr) {
  TRY_VOID(CheckName(name));
  const Ref<vfs::Mount> mount = InternalMount(ipc);
  vfs::Dentry& root = *mount->root();
  Ref<vfs::Dentry> child;
  {
    absl::MutexLock lock(&root.mu());
    child = TRY(root.ChildLocked(name));
    if (child->negative()) {
      if (!(flags & O_CREAT)) return Errno::kNoEnt;
      child = TRY(CreateLocked(root, caller, name, mode, attr));
    } else {
      if ((flags & O_CREAT) && (flags & O_EXCL)) return Errno::kExist;
      if ((flags & O_ACCMODE) == O_ACCMODE) return Errno::kInval;
      TRY_VOID(vfs::CheckPermission(*caller.cred, TRY(child->inode()->GetOwnership()), AccessOf(flags)));
    }
  }
  const int kept = flags & (O_ACCMODE | O_NONBLOCK);
  return child->inode()->Open({kept, vfs::Path(mount, child), caller.cred});
}

ErrnoOrVoid UnlinkQueue(ipc::IpcNamespace& ipc, const vfs::Caller& caller, std::string_view name) {
  TRY_VOID(CheckName(name));
  const Ref<vfs::Mount> mount = InternalMount(ipc);
  const vfs::Path root(mount, mount->root());
  return vfs::Unlink(caller, root, name);
}

}  // namespace cloister::mqueue
