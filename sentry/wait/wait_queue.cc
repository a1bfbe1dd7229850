#include "sentry/wait/wait_queue.h"

#include <cassert>

namespace cloister::wait {

WaitQueue::~WaitQueue() { assert(first_ == nullptr); }

void WaitQueue::Add(WaitEntry& entry, Waiter& waiter, Poll mask) {
  absl::MutexLock lock(&mu_);
  assert(entry.waiter_ == nullptr);
  entry.waiter_ = &waiter;
  entry.mask_ = mask | Poll::kErr | Poll::kHup;
  entry.previous_ = last_;
  entry.next_ = nullptr;
  (last_ != nullptr ? last_->next_ : first_) = &entry;
  last_ = &entry;
}

void WaitQueue::Remove(WaitEntry& entry) {
  absl::MutexLock lock(&mu_);
  if (entry.waiter_ == nullptr) return;
  (entry.previous_ != nullptr ? entry.previous_->next_ : first_) = entry.next_;
  (entry.next_ != nullptr ? entry.next_->previous_ : last_) = entry.previous_;
  entry.waiter_ = nullptr;
  entry.previous_ = entry.next_ = nullptr;
}

void WaitQueue::Notify(Poll events) {
  absl::MutexLock lock(&mu_);
  for (WaitEntry* entry = first_; entry != nullptr; entry = entry->next_) {
    if (entry->mask_.Any(events)) entry->waiter_->OnEvent(events & entry->mask_);
  }
}

}  // namespace cloister::wait
