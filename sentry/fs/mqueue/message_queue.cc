#include "sentry/fs/mqueue/message_queue.h"

#include <linux/mqueue.h>

namespace cloister::mqueue {

void Notification::SendCookie(int reason) const {
  if (!socket) return;
  std::vector<std::byte> bytes = cookie;
  bytes.back() = static_cast<std::byte>(reason);
  socket->Deliver(std::move(bytes));
}

int64_t MessageQueue::count() const {
  absl::MutexLock lock(&mu_);
  return count_;
}

uint64_t MessageQueue::bytes() const {
  absl::MutexLock lock(&mu_);
  return bytes_;
}

void MessageQueue::InsertLocked(Message message) {
  ++count_;
  bytes_ += message.text.size();
  messages_[message.priority].push_back(std::move(message));
}

Message MessageQueue::TakeLocked() {
  const auto highest = messages_.begin();
  Message message = std::move(highest->second.front());
  highest->second.pop_front();
  if (highest->second.empty()) messages_.erase(highest);
  --count_;
  bytes_ -= message.text.size();
  return message;
}

Ref<Transfer> MessageQueue::FinishFirstLocked(Waiting& waiting) {
  if (waiting.empty()) return nullptr;
  Ref<Transfer> first = std::move(waiting.front());
  waiting.pop_front();
  first->waits_ = false;
  first->done_ = true;
  return first;
}

void MessageQueue::WaitLocked(const Ref<Transfer>& transfer) {
  Waiting& waiting = transfer->sends_ ? senders_ : receivers_;
  transfer->waits_ = true;
  transfer->place_ = waiting.insert(waiting.end(), transfer);
}

// Linux: do_mq_timedsend and do_mq_timedreceive.
ErrnoOrVoid MessageQueue::Begin(const Ref<Transfer>& transfer, bool may_wait,
                                std::optional<Notification>* fired) {
  Ref<Transfer> other;
  Poll changed;
  {
    absl::MutexLock lock(&mu_);
    const bool stuck = transfer->sends_ ? count_ == max_messages_ : count_ == 0;
    if (stuck) {
      if (!may_wait) return Errno::kAgain;
      WaitLocked(transfer);
      return {};
    }
    transfer->done_ = true;
    if (transfer->sends_) {
      other = FinishFirstLocked(receivers_);
      if (other) {
        other->message_ = std::move(transfer->message_);
      } else {
        InsertLocked(std::move(transfer->message_));
        changed = Poll::kIn;
        if (count_ == 1 && notification_.owner != 0) *fired = std::exchange(notification_, {});
      }
    } else {
      transfer->message_ = TakeLocked();
      other = FinishFirstLocked(senders_);
      if (other) {
        InsertLocked(std::move(other->message_));
      } else {
        changed = Poll::kOut;
      }
    }
  }
  if (other) other->queue().Notify(Poll::kIn);
  if (changed) queue_.Notify(changed);
  return {};
}

bool MessageQueue::IsDone(const Transfer& transfer) const {
  absl::MutexLock lock(&mu_);
  return transfer.done_;
}

bool MessageQueue::Withdraw(Transfer& transfer) {
  const Ref<Transfer> keep(&transfer);
  absl::MutexLock lock(&mu_);
  if (transfer.waits_) {
    transfer.waits_ = false;
    (transfer.sends_ ? senders_ : receivers_).erase(transfer.place_);
  }
  return transfer.done_;
}

ErrnoOrVoid MessageQueue::SetNotification(Notification notification) {
  absl::MutexLock lock(&mu_);
  if (notification_.owner != 0) return Errno::kBusy;
  notification_ = std::move(notification);
  return {};
}

void MessageQueue::RemoveNotification(pid_t pid) {
  Notification removed;
  {
    absl::MutexLock lock(&mu_);
    if (pid == 0 || notification_.owner != pid) return;
    removed = std::exchange(notification_, {});
  }
  removed.SendCookie(NOTIFY_REMOVED);
}

Notification MessageQueue::notification() const {
  absl::MutexLock lock(&mu_);
  return notification_;
}

Poll MessageQueue::Ready() const {
  absl::MutexLock lock(&mu_);
  Poll ready;
  if (count_ > 0) ready |= Poll::kIn;
  if (count_ < max_messages_) ready |= Poll::kOut;
  return ready;
}

}  // namespace cloister::mqueue
