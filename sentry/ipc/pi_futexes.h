#ifndef CLOISTER_SENTRY_IPC_PI_FUTEXES_H_
#define CLOISTER_SENTRY_IPC_PI_FUTEXES_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/ipc/futex_manager.h"

namespace cloister::ipc {

class PiFutexes;

// One call that waits for a lock: futex(2) FUTEX_LOCK_PI and its kin. Whoever unlocks hands the lock over:
// the word then names the waiter's thread.
class PiWaiter : public RefCounted {
 public:
  PiWaiter(Ref<mm::MemoryManager> mm, uint64_t addr, const FutexKey& key, pid_t tid)
      : mm_(std::move(mm)), addr_(addr), key_(key), tid_(tid) {}

  // The lock has been handed over, or cannot be (kFault); from then on that counts as taken. kAgain: not yet.
  ErrnoOrVoid TakeGrant();
  wait::WaitQueue& queue() { return queue_; }
  // The owner of the call lets go: leaves the queue, and hands a lock on that it did not take notice of.
  void Drop();

 private:
  friend class PiFutexes;
  enum class State { kIdle, kWaiting, kGranted, kFailed };

  const Ref<mm::MemoryManager> mm_;
  const uint64_t addr_;
  const FutexKey key_;  // of the lock
  const pid_t tid_;
  std::atomic<State> state_{State::kIdle};  // changed under PiFutexes::mu_
  bool taken_ = false;                      // the owner's
  wait::WaitQueue queue_;
};

// Locks whose word names their owner, and which the kernel hands from thread to thread in the order of their
// coming. Priorities are the host's: nothing is inherited. One for the sandbox. Thread-safe.
//
// While a word has FUTEX_WAITERS set, nobody but the kernel changes it. To set that bit, or to take a free
// lock, a word has to be exchanged atomically with what other threads of the guest do, which the caller's own
// thread must do: such steps answer kExchange.
class PiFutexes {
 public:
  static PiFutexes& Get();

  struct Progress {
    enum class Next {
      kDone,
      kExchange,      // exchange `expected` for `desired` at the lock's word, then ask again
      kQueued,        // wait on the waiter's queue
      kOwnerIsGoing,  // ask again when the owner has gone
    };
    Next next = Next::kDone;
    uint32_t expected = 0, desired = 0;
    bool takes = false;  // kExchange: where it works, the lock is the caller's
    int count = 0;       // Requeue, kDone: the answer
  };

  enum class Owner { kLives, kGoes, kNone };
  using OwnerState = absl::FunctionRef<Owner(pid_t tid)>;

  // FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI. exchanged: the last step was kExchange, and the word was as expected. A
  // waiter queues before the bit is set for it: an owner that ends in between leaves it the lock.
  ErrnoOr<Progress> Lock(PiWaiter& waiter, bool exchanged, bool try_only, OwnerState owner)
      ABSL_LOCKS_EXCLUDED(mu_);
  // FUTEX_UNLOCK_PI by thread tid.
  ErrnoOrVoid Unlock(mm::MemoryManager& mm, uint64_t addr, const FutexKey& key, pid_t tid)
      ABSL_LOCKS_EXCLUDED(mu_);

  // FUTEX_WAIT_REQUEUE_PI: waits at another word until the waiter is moved to its lock. kAgain where that
  // word does not hold expected.
  ErrnoOrVoid WaitForRequeue(PiWaiter& waiter, uint64_t addr, const FutexKey& at, uint32_t expected)
      ABSL_LOCKS_EXCLUDED(mu_);
  // FUTEX_CMP_REQUEUE_PI: gives the lock to the first waiter, if it is free, and has up to `most` wait for
  // it.
  struct RequeueRequest {
    mm::MemoryManager& mm;
    uint64_t addr, lock_addr;
    FutexKey from, lock;
    uint32_t expected;
    int most;
  };
  // chosen: whom the last kExchange took the lock for; kept by the caller between the steps.
  ErrnoOr<Progress> Requeue(const RequeueRequest& request, bool exchanged, Ref<PiWaiter>* chosen,
                            OwnerState owner) ABSL_LOCKS_EXCLUDED(mu_);

  // A thread ends, its robust list has been dealt with: what it owned goes to those who wait.
  void ExitOwner(pid_t tid) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class PiWaiter;
  using Queue = std::deque<Ref<PiWaiter>>;

  // The next one that can have it gets the lock; false where there is none. died: its owner did.
  bool HandOverLocked(const FutexKey& key, bool died) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReleaseLocked(mm::MemoryManager& mm, uint64_t addr, const FutexKey& key, uint32_t word)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FinishLocked(PiWaiter& waiter, PiWaiter::State state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EnqueueLocked(PiWaiter& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DequeueLocked(PiWaiter& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Leave(PiWaiter& waiter) ABSL_LOCKS_EXCLUDED(mu_);
  static bool RemoveFrom(absl::flat_hash_map<FutexKey, Queue>& queues, PiWaiter& waiter);
  bool HasWaitersLocked(const FutexKey& key) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<int> MoveLocked(const RequeueRequest& request, int limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Progress> MoveToHeldLocked(const RequeueRequest& request, uint32_t word, bool marked, int count,
                                     OwnerState owner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;                                                     // above the guest's memory and queues
  absl::flat_hash_map<FutexKey, Queue> waiting_ ABSL_GUARDED_BY(mu_);  // for the lock; none empty
  absl::flat_hash_map<FutexKey, Queue> parked_ ABSL_GUARDED_BY(mu_);   // elsewhere, to be moved; none empty
  std::atomic<size_t> waiters_{0};                                     // in waiting_
};

}  // namespace cloister::ipc

#endif  // CLOISTER_SENTRY_IPC_PI_FUTEXES_H_
