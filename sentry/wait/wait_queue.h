#ifndef CLOISTER_SENTRY_WAIT_WAIT_QUEUE_H_
#define CLOISTER_SENTRY_WAIT_WAIT_QUEUE_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sentry/wait/poll.h"

namespace cloister::wait {

// Is told of events on the queues it was added to.
class Waiter {
 public:
  // Runs with the queue's lock held, on the thread that called Notify: may only note the event,
  // schedule a Parker or notify further queues; must not touch the queue that called.
  virtual void OnEvent(Poll events) = 0;

 protected:
  ~Waiter() = default;
};

class WaitQueue;

// Membership of one Waiter in one WaitQueue. Owned by the waiter's side; not movable while added.
class WaitEntry {
 public:
  WaitEntry() = default;
  WaitEntry(const WaitEntry&) = delete;
  WaitEntry& operator=(const WaitEntry&) = delete;

 private:
  friend class WaitQueue;
  Waiter* waiter_ = nullptr;
  Poll mask_;
  WaitEntry* previous_ = nullptr;
  WaitEntry* next_ = nullptr;
};

// Those who wait for events of one object. Linux: wait_queue_head_t. Thread-safe.
// kErr and kHup are told to everyone, as poll(2) does.
class WaitQueue {
 public:
  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  ~WaitQueue();  // must be empty

  void Add(WaitEntry& entry, Waiter& waiter, Poll mask) ABSL_LOCKS_EXCLUDED(mu_);
  // After this returns the waiter is not called any more through this entry.
  void Remove(WaitEntry& entry) ABSL_LOCKS_EXCLUDED(mu_);

  // Tells every waiter whose mask meets events. Call it without the object's own lock.
  void Notify(Poll events) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Leaf, but for queues that a Waiter notifies in turn (epoll): those nest inwards, never in a ring.
  absl::Mutex mu_;
  WaitEntry* first_ ABSL_GUARDED_BY(mu_) = nullptr;
  WaitEntry* last_ ABSL_GUARDED_BY(mu_) = nullptr;
};

}  // namespace cloister::wait

#endif  // CLOISTER_SENTRY_WAIT_WAIT_QUEUE_H_
