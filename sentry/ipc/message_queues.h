#ifndef CLOISTER_SENTRY_IPC_MESSAGE_QUEUES_H_
#define CLOISTER_SENTRY_IPC_MESSAGE_QUEUES_H_

#include <linux/msg.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "sentry/ipc/ipc_object.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::ipc {

struct Message {
  int64_t type = 0;
  std::vector<std::byte> text;
};

// A message queue. Linux: struct msg_queue. Guarded by the table's lock but for its wait queue.
struct MessageQueue final : public IpcObject {
  using IpcObject::IpcObject;

  uint64_t bytes = 0;      // of all texts
  uint64_t max_bytes = 0;  // msg_qbytes: bounds their number too
  pid_t last_sender = 0, last_receiver = 0;
  int64_t send_time = 0, receive_time = 0, change_time = 0;
  std::list<Message> messages;
  wait::WaitQueue changed;  // kIn: a message came; kOut: there is room; both: look again
};

// The message queues of an IPC namespace: msgget(2), msgsnd(2), msgrcv(2), msgctl(2). Linux: ipc/msg.c.
// Thread-safe. What would wait is kAgain: wait for the queue's `changed` and ask again.
class MessageQueues : public RefCounted {
 public:
  // /proc/sys/kernel/msg*.
  struct Limits {
    int message_bytes = MSGMAX;
    int queue_bytes = MSGMNB;  // what a new queue begins with, and may be set to
    int queues = MSGMNI;
  };
  Limits limits() const ABSL_LOCKS_EXCLUDED(mu_);
  void SetLimits(const Limits& limits) ABSL_LOCKS_EXCLUDED(mu_);

  ErrnoOr<int> Get(key_t key, int flags, const auth::Credentials& cred) ABSL_LOCKS_EXCLUDED(mu_);
  // The queue that a call is for; kInval.
  ErrnoOr<Ref<MessageQueue>> Find(int id) const ABSL_LOCKS_EXCLUDED(mu_);

  // Takes the message, unless it fails: kAgain where there is no room, kIdRm, kAcces.
  ErrnoOrVoid Send(MessageQueue& queue, Message& message, pid_t pid, const auth::Credentials& cred)
      ABSL_LOCKS_EXCLUDED(mu_);

  struct Wanted {
    int64_t type = 0;
    uint64_t size = 0;  // longer ones are k2Big, unless flags hold MSG_NOERROR
    int flags = 0;      // MSG_EXCEPT, MSG_NOERROR, MSG_COPY (type is the place then)
  };
  // kAgain where there is none; kIdRm, kAcces, k2Big.
  ErrnoOr<Message> Receive(MessageQueue& queue, const Wanted& wanted, pid_t pid,
                           const auth::Credentials& cred) ABSL_LOCKS_EXCLUDED(mu_);

  // msgctl(2).
  ErrnoOr<Described<msqid64_ds>> Describe(int id, Lookup how, const auth::Credentials& cred) const
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Change(int id, const msqid64_ds& wanted, const auth::Credentials& cred)
      ABSL_LOCKS_EXCLUDED(mu_);
  ErrnoOrVoid Remove(int id, const auth::Credentials& cred) ABSL_LOCKS_EXCLUDED(mu_);
  // IPC_INFO and MSG_INFO (`usage`): the highest index.
  int Info(bool usage, msginfo* info) const ABSL_LOCKS_EXCLUDED(mu_);
  // For /proc/sysvipc/msg.
  std::vector<Described<msqid64_ds>> List() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  ErrnoOrVoid CheckLocked(const MessageQueue& queue, int access, const auth::Credentials& cred) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;  // leaf
  Limits limits_ ABSL_GUARDED_BY(mu_);
  IdTable<MessageQueue> table_ ABSL_GUARDED_BY(mu_);
  uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;  // of all messages
  uint64_t messages_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cloister::ipc

#endif  // CLOISTER_SENTRY_IPC_MESSAGE_QUEUES_H_
