#ifndef CLOISTER_SENTRY_FS_MQUEUE_MESSAGE_QUEUE_H_
#define CLOISTER_SENTRY_FS_MQUEUE_MESSAGE_QUEUE_H_

#include <signal.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/net/netlink/netlink_socket.h"
#include "sentry/wait/poll.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::mqueue {

using wait::Poll;

struct Message {
  uint32_t priority = 0;
  std::vector<std::byte> text;
};

// One mq_timedsend(2) or mq_timedreceive(2): done at once, or queued until the other side comes and does it.
// Linux: struct ext_wait_queue. Guarded by the lock of its message queue but for its wait queue.
class Transfer : public RefCounted {
 public:
  // A send of this message; a receive.
  explicit Transfer(Message message) : sends_(true), message_(std::move(message)) {}
  Transfer() : sends_(false) {}

  // What was received; for the owner once it is done.
  const Message& message() const { return message_; }
  // Notified with kIn when it is done.
  wait::WaitQueue& queue() { return queue_; }

 private:
  friend class MessageQueue;
  const bool sends_;
  bool waits_ = false;
  bool done_ = false;
  Message message_;
  std::list<Ref<Transfer>>::iterator place_;
  wait::WaitQueue queue_;
};

// Whom mq_notify(2) wants told, once, of a message in an empty queue that nobody waits for.
struct Notification {
  pid_t owner = 0;
  int kind = SIGEV_NONE;  // SIGEV_SIGNAL, SIGEV_THREAD
  int signal = 0;
  sigval value = {};
  // SIGEV_THREAD: a netlink socket of the C library's, and what it is sent.
  Ref<net::NetlinkSocket> socket;
  std::vector<std::byte> cookie;

  // The cookie, ending in NOTIFY_WOKENUP or NOTIFY_REMOVED.
  void SendCookie(int reason) const;
};

// A POSIX message queue, mq_overview(7): messages by priority, then by age. Linux: struct mqueue_inode_info.
// Thread-safe.
class MessageQueue {
 public:
  MessageQueue(int64_t max_messages, int64_t max_bytes)
      : max_messages_(max_messages), max_bytes_(max_bytes) {}

  int64_t max_messages() const { return max_messages_; }
  int64_t max_bytes() const { return max_bytes_; }  // of one message
  int64_t count() const ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t bytes() const ABSL_LOCKS_EXCLUDED(mu_);

  // kAgain where it would wait and may not. *fired: whom to tell of the message, if anyone.
  ErrnoOrVoid Begin(const Ref<Transfer>& transfer, bool may_wait, std::optional<Notification>* fired)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool IsDone(const Transfer& transfer) const ABSL_LOCKS_EXCLUDED(mu_);
  // Waits no longer. True if it is done already.
  bool Withdraw(Transfer& transfer) ABSL_LOCKS_EXCLUDED(mu_);

  // kBusy if there is one.
  ErrnoOrVoid SetNotification(Notification notification) ABSL_LOCKS_EXCLUDED(mu_);
  // Removes that of process pid, if it has one; a helper thread is told.
  void RemoveNotification(pid_t pid) ABSL_LOCKS_EXCLUDED(mu_);
  // As mq_overview(7) shows it; owner 0: none.
  Notification notification() const ABSL_LOCKS_EXCLUDED(mu_);

  Poll Ready() const ABSL_LOCKS_EXCLUDED(mu_);
  // For poll(2).
  wait::WaitQueue& queue() { return queue_; }

 private:
  using Waiting = std::list<Ref<Transfer>>;

  void InsertLocked(Message message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Message TakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The first that waits, done now. Null if nobody does.
  Ref<Transfer> FinishFirstLocked(Waiting& waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WaitLocked(const Ref<Transfer>& transfer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int64_t max_messages_;
  const int64_t max_bytes_;
  wait::WaitQueue queue_;
  mutable absl::Mutex mu_;                                                                 // leaf
  std::map<uint32_t, std::deque<Message>, std::greater<>> messages_ ABSL_GUARDED_BY(mu_);  // by priority
  int64_t count_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  Waiting senders_ ABSL_GUARDED_BY(mu_);    // only while it is full
  Waiting receivers_ ABSL_GUARDED_BY(mu_);  // only while it is empty
  Notification notification_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::mqueue

#endif  // CLOISTER_SENTRY_FS_MQUEUE_MESSAGE_QUEUE_H_
