#include "sentry/ipc/message_queues.h"

#include <limits>

#include "sentry/wait/poll.h"

namespace cloister::ipc {
namespace {

using wait::Poll;

msqid64_ds StatusOf(const MessageQueue& queue) {
  msqid64_ds status = {};
  status.msg_perm = queue.Describe();
  status.msg_stime = queue.send_time;
  status.msg_rtime = queue.receive_time;
  status.msg_ctime = queue.change_time;
  status.msg_cbytes = queue.bytes;
  status.msg_qnum = queue.messages.size();
  status.msg_qbytes = queue.max_bytes;
  status.msg_lspid = queue.last_sender;
  status.msg_lrpid = queue.last_receiver;
  return status;
}

bool Fits(const MessageQueue& queue, uint64_t size) {
  return size + queue.bytes <= queue.max_bytes && queue.messages.size() < queue.max_bytes;
}

// Linux: find_msg.
std::list<Message>::iterator FindMessage(MessageQueue& queue, const MessageQueues::Wanted& wanted) {
  std::list<Message>& messages = queue.messages;
  auto it = messages.begin();
  if (wanted.flags & MSG_COPY) {
    for (int64_t left = wanted.type; it != messages.end() && left != 0; --left) ++it;
    return it;
  }
  if (wanted.type >= 0) {
    for (; it != messages.end(); ++it) {
      const bool equal = it->type == wanted.type;
      if (wanted.type == 0 || ((wanted.flags & MSG_EXCEPT) ? !equal : equal)) break;
    }
    return it;
  }
  // The first of the lowest type up to the bound.
  constexpr int64_t kLowest = std::numeric_limits<int64_t>::min();
  const int64_t bound = wanted.type == kLowest ? std::numeric_limits<int64_t>::max() : -wanted.type;
  auto best = messages.end();
  for (; it != messages.end(); ++it) {
    if (it->type <= bound && (best == messages.end() || it->type < best->type)) best = it;
  }
  return best;
}

}  // namespace

MessageQueues::Limits MessageQueues::limits() const {
  absl::MutexLock lock(&mu_);
  return limits_;
}

void MessageQueues::SetLimits(const Limits& limits) {
  absl::MutexLock lock(&mu_);
  limits_ = limits;
}

ErrnoOr<int> MessageQueues::Get(key_t key, int flags, const auth::Credentials& cred) {
  absl::MutexLock lock(&mu_);
  const auto check = [](const MessageQueue&) { return Ok(); };
  return GetOrMake(table_, key, flags, cred, check, [&] {
    mu_.AssertHeld();
    Ref<MessageQueue> queue = MakeRef<MessageQueue>(key, flags, cred);
    queue->max_bytes = static_cast<uint64_t>(limits_.queue_bytes);
    queue->change_time = NowSeconds();
    return table_.Add(std::move(queue), limits_.queues);
  });
}

ErrnoOr<Ref<MessageQueue>> MessageQueues::Find(int id) const {
  absl::MutexLock lock(&mu_);
  MessageQueue* const queue = table_.Find(id);
  if (queue == nullptr) return Errno::kInval;
  return Ref<MessageQueue>(queue);
}

// Asked anew each time that a waiting call looks: permissions may have been taken away meanwhile.
ErrnoOrVoid MessageQueues::CheckLocked(const MessageQueue& queue, int access,
                                       const auth::Credentials& cred) const {
  if (queue.removed) return Errno::kIdRm;
  return queue.CheckAccess(cred, access);
}

ErrnoOrVoid MessageQueues::Send(MessageQueue& queue, Message& message, pid_t pid,
                                const auth::Credentials& cred) {
  {
    absl::MutexLock lock(&mu_);
    TRY_VOID(CheckLocked(queue, 0222, cred));
    if (!Fits(queue, message.text.size())) return Errno::kAgain;
    queue.last_sender = pid;
    queue.send_time = NowSeconds();
    queue.bytes += message.text.size();
    bytes_ += message.text.size();
    ++messages_;
    queue.messages.push_back(std::move(message));
  }
  queue.changed.Notify(Poll::kIn);
  return {};
}

ErrnoOr<Message> MessageQueues::Receive(MessageQueue& queue, const Wanted& wanted, pid_t pid,
                                        const auth::Credentials& cred) {
  Message taken;
  {
    absl::MutexLock lock(&mu_);
    TRY_VOID(CheckLocked(queue, 0444, cred));
    const auto found = FindMessage(queue, wanted);
    if (found == queue.messages.end()) return Errno::kAgain;
    const uint64_t size = found->text.size();
    if (size > wanted.size && !(wanted.flags & MSG_NOERROR)) return Errno::k2Big;
    if (wanted.flags & MSG_COPY) {
      if (size > wanted.size) return Errno::kInval;
      return *found;
    }
    taken = std::move(*found);
    queue.messages.erase(found);
    queue.last_receiver = pid;
    queue.receive_time = NowSeconds();
    queue.bytes -= size;
    bytes_ -= size;
    --messages_;
  }
  queue.changed.Notify(Poll::kOut);
  return taken;
}

ErrnoOr<Described<msqid64_ds>> MessageQueues::Describe(int id, Lookup how,
                                                       const auth::Credentials& cred) const {
  absl::MutexLock lock(&mu_);
  const MessageQueue* const queue = TRY(table_.Inspect(id, how, cred));
  return Described<msqid64_ds>{queue->id, StatusOf(*queue)};
}

ErrnoOrVoid MessageQueues::Change(int id, const msqid64_ds& wanted, const auth::Credentials& cred) {
  Ref<MessageQueue> queue;
  {
    absl::MutexLock lock(&mu_);
    queue = Ref<MessageQueue>(TRY(table_.FindToControl(id, cred)));
    if (wanted.msg_qbytes > static_cast<uint64_t>(limits_.queue_bytes) && !cred.Has(CAP_SYS_RESOURCE))
      return Errno::kPerm;
    TRY_VOID(queue->SetOwner(wanted.msg_perm));
    queue->max_bytes = wanted.msg_qbytes;
    queue->change_time = NowSeconds();
  }
  queue->changed.Notify(Poll::kIn | Poll::kOut);
  return {};
}

ErrnoOrVoid MessageQueues::Remove(int id, const auth::Credentials& cred) {
  Ref<MessageQueue> queue;
  std::list<Message> dropped;
  {
    absl::MutexLock lock(&mu_);
    queue = table_.Remove(*TRY(table_.FindToControl(id, cred)));
    dropped.swap(queue->messages);
    bytes_ -= queue->bytes;
    messages_ -= dropped.size();
    queue->bytes = 0;
  }
  queue->changed.Notify(Poll::kIn | Poll::kOut);
  return {};
}

int MessageQueues::Info(bool usage, msginfo* info) const {
  absl::MutexLock lock(&mu_);
  info->msgmni = limits_.queues;
  info->msgmax = limits_.message_bytes;
  info->msgmnb = limits_.queue_bytes;
  info->msgssz = MSGSSZ;
  info->msgseg = static_cast<unsigned short>(MSGSEG);
  info->msgpool = usage ? table_.in_use() : MSGPOOL;
  info->msgmap = usage ? static_cast<int>(messages_) : MSGMAP;
  info->msgtql = usage ? static_cast<int>(bytes_) : MSGTQL;
  return table_.highest_index();
}

std::vector<Described<msqid64_ds>> MessageQueues::List() const {
  std::vector<Described<msqid64_ds>> listed;
  absl::MutexLock lock(&mu_);
  table_.Visit([&](const MessageQueue& queue) { listed.push_back({queue.id, StatusOf(queue)}); });
  return listed;
}

}  // namespace cloister::ipc
