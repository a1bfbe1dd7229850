#ifndef CLOISTER_SENTRY_FS_MQUEUE_MQUEUE_FS_H_
#define CLOISTER_SENTRY_FS_MQUEUE_MQUEUE_FS_H_

#include <linux/mqueue.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/fs/kernfs/tree.h"
#include "sentry/fs/mqueue/message_queue.h"
#include "sentry/ipc/ipc_namespace.h"
#include "sentry/ipc/mqueue_limits.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/file_description.h"
#include "sentry/vfs/mount.h"

namespace cloister::mqueue {

// The file system of an IPC namespace's queues, however often it is mounted. Linux: mqueue's super block.
// Keeps account of queues and their memory. Thread-safe.
class MqueueFs final : public kernfs::Tree {
 public:
  explicit MqueueFs(Ref<ipc::MqueueLimits> limits);

  // Who makes a queue, as far as it counts.
  struct Creator {
    uid_t uid = 0;
    bool capable = false;  // CAP_SYS_RESOURCE
    uint64_t limit = 0;    // RLIMIT_MSGQUEUE
  };
  // Takes the account of a queue to be made. attr: null for the default sizes; receives them. kInval, kNoSpc,
  // kMFile. Returns the bytes.
  ErrnoOr<uint64_t> Charge(const Creator& creator, mq_attr* attr, bool defaults) ABSL_LOCKS_EXCLUDED(mu_);
  void Uncharge(uid_t uid, uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const Ref<ipc::MqueueLimits> limits_;
  absl::Mutex mu_;  // leaf
  int queues_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uid_t, uint64_t> bytes_ ABSL_GUARDED_BY(mu_);
};

// A queue's node: mqueue_nodes.h.
class QueueInode;

// The queue behind an open file, which keeps it; null if it is none.
QueueInode* InodeOf(vfs::FileDescription& file);

// A mount of the namespace's queues, not yet attached. flags: mount(2)'s MS_…
Ref<vfs::Mount> MountMqueue(ipc::IpcNamespace& ipc, uint64_t flags, std::string source);

// mq_open(2). attr: null where none was given.
ErrnoOr<Ref<vfs::FileDescription>> OpenQueue(ipc::IpcNamespace& ipc, const vfs::Caller& caller,
                                             std::string_view name, int flags, mode_t mode,
                                             const mq_attr* attr);
// mq_unlink(2).
ErrnoOrVoid UnlinkQueue(ipc::IpcNamespace& ipc, const vfs::Caller& caller, std::string_view name);

}  // namespace cloister::mqueue

#endif  // CLOISTER_SENTRY_FS_MQUEUE_MQUEUE_FS_H_
