#ifndef CLOISTER_SENTRY_IPC_FUTEX_MANAGER_H_
#define CLOISTER_SENTRY_IPC_FUTEX_MANAGER_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::ipc {

// What a futex word is known by: (memory, address), or file and offset where it is shared.
struct FutexKey {
  uint64_t a = 0, b = 0, c = 0;
  friend bool operator==(const FutexKey&, const FutexKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const FutexKey& key) {
    return H::combine(std::move(h), key.a, key.b, key.c);
  }
};

class FutexManager;

// One waiting call, queued from Wait until it is woken or dropped. Woken at most once. A wake that
// nobody took notice of (the call ended by a signal in that moment) is handed to the next waiter
// when the waiter is dropped.
class FutexWaiter : public RefCounted {
 public:
  // Woken; from then on the wake counts as taken.
  bool TakeWake() {
    taken_ = woken_.load(std::memory_order_acquire);
    return taken_;
  }
  wait::WaitQueue& queue() { return queue_; }

  // The owner of the call lets go: leaves the futex's queue.
  void Drop();

 private:
  friend class FutexManager;
  template <typename T, typename... Args>
  friend Ref<T> cloister::MakeRef(Args&&... args);
  FutexWaiter(const FutexKey& key, uint32_t bitset) : key_(key), bitset_(bitset) {}

  FutexKey key_;  // guarded by the bucket's lock
  const uint32_t bitset_;
  std::atomic<int> bucket_{-1};  // where it is queued; changed under the buckets' locks
  std::atomic<bool> woken_{false};
  bool taken_ = false;  // the owner's
  wait::WaitQueue queue_;
};

// futex(2), emulated: a hash of queues. One for the sandbox. Thread-safe.
//
// Lock order: a bucket's lock (two in order of their index), then the guest's memory, then a waiter's queue.
class FutexManager {
 public:
  static FutexManager& Get();

  // The word's key; `shared`: without FUTEX_PRIVATE_FLAG. kInval unless 4-aligned.
  ErrnoOr<FutexKey> KeyOf(mm::MemoryManager& mm, uint64_t addr, bool shared) const;

  // Queues a waiter if the word holds expected; else kAgain. kFault.
  ErrnoOr<Ref<FutexWaiter>> Wait(mm::MemoryManager& mm, uint64_t addr, const FutexKey& key, uint32_t expected,
                                 uint32_t bitset);
  // Wakes at most count waiters whose bitset meets the given one; how many.
  int Wake(const FutexKey& key, int count, uint32_t bitset);
  // For the kernel's own wakes: of both the private and the shared word at addr.
  void Wake(mm::MemoryManager& mm, uint64_t addr, int count);
  // Wakes count and moves at most move_count more to another word. expected: null for FUTEX_REQUEUE.
  // Returns woken, and with expected woken plus moved.
  ErrnoOr<int> Requeue(mm::MemoryManager& mm, uint64_t addr, const FutexKey& from, const FutexKey& to,
                       int count, int move_count, const uint32_t* expected);
  // FUTEX_WAKE_OP: op on the word at addr2, wakes there too if the old value compares.
  ErrnoOr<int> WakeOp(mm::MemoryManager& mm, uint64_t addr2, const FutexKey& key1, const FutexKey& key2,
                      int count1, int count2, uint32_t op);

  // set_robust_list(2)'s list of a thread that ends: marks its words FUTEX_OWNER_DIED; a waiter of each of
  // the words that are returned is to be woken. The list is the guest's: at most 2048 entries, any address
  // possible.
  static std::vector<uint64_t> MarkRobustList(mm::MemoryManager& mm, uint64_t head, pid_t tid);

 private:
  friend class FutexWaiter;
  static constexpr int kBuckets = 256;
  struct Bucket {
    absl::Mutex mu;
    std::list<Ref<FutexWaiter>> waiters ABSL_GUARDED_BY(mu);
  };

  static int IndexOf(const FutexKey& key);
  static int WakeLocked(Bucket& bucket, const FutexKey& key, int count, uint32_t bitset)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(bucket.mu);

  std::array<Bucket, kBuckets> buckets_;
};

}  // namespace cloister::ipc

#endif  // CLOISTER_SENTRY_IPC_FUTEX_MANAGER_H_
