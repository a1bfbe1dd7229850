#ifndef CLOISTER_PLATFORM_SYSTRAP_THREAD_TABLE_H_
#define CLOISTER_PLATFORM_SYSTRAP_THREAD_TABLE_H_

#include <sys/types.h>

#include <array>
#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "platform/systrap/thread.h"

namespace cloister::systrap {

// Guest threads by host thread id. Asked once for every trap, so it is cut into shards; neighbours
// in time (consecutive ids) are in different ones.
class ThreadTable {
 public:
  void Add(pid_t tid, Ref<Thread> thread) {
    Shard& shard = ShardOf(tid);
    absl::MutexLock lock(&shard.mu);
    std::swap(shard.threads[tid], thread);
    if (!thread) size_.fetch_add(1, std::memory_order_relaxed);
  }

  Ref<Thread> Find(pid_t tid) {
    Shard& shard = ShardOf(tid);
    absl::MutexLock lock(&shard.mu);
    const auto found = shard.threads.find(tid);
    return found == shard.threads.end() ? nullptr : found->second;
  }

  // Unless another one has got the id since.
  void Remove(pid_t tid, const Thread* thread) {
    Ref<Thread> last;  // dropped outside the lock
    Shard& shard = ShardOf(tid);
    absl::MutexLock lock(&shard.mu);
    const auto found = shard.threads.find(tid);
    if (found == shard.threads.end() || found->second.get() != thread) return;
    last = std::move(found->second);
    shard.threads.erase(found);
    size_.fetch_sub(1, std::memory_order_relaxed);
  }

  size_t size() const { return size_.load(std::memory_order_relaxed); }

  // Those that sleep in a futex of their own.
  int CountAsleep() {
    int asleep = 0;
    for (Shard& shard : shards_) {
      absl::MutexLock lock(&shard.mu);
      for (const auto& [tid, thread] : shard.threads) asleep += thread->SleepsInFutex() ? 1 : 0;
    }
    return asleep;
  }

  std::vector<Ref<Thread>> All() {
    std::vector<Ref<Thread>> all;
    for (Shard& shard : shards_) {
      absl::MutexLock lock(&shard.mu);
      for (const auto& [tid, thread] : shard.threads) all.push_back(thread);
    }
    return all;
  }

 private:
  static constexpr size_t kShards = 64;
  struct alignas(64) Shard {
    absl::Mutex mu;  // leaf lock
    absl::flat_hash_map<pid_t, Ref<Thread>> threads ABSL_GUARDED_BY(mu);
  };
  Shard& ShardOf(pid_t tid) { return shards_[static_cast<size_t>(tid) % kShards]; }

  std::array<Shard, kShards> shards_;
  std::atomic<size_t> size_{0};
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_THREAD_TABLE_H_
