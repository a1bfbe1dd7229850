#include "sentry/ipc/futex_manager.h"

#include <linux/futex.h>

#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "sentry/usermem/user_ptr.h"

namespace cloister::ipc {
namespace {

using usermem::UserPtr;

// Locks one or two buckets in order.
class ABSL_SCOPED_LOCKABLE TwoLocks {
 public:
  // Not analysed inside: a and b may be the same.
  TwoLocks(absl::Mutex& a, absl::Mutex& b) ABSL_EXCLUSIVE_LOCK_FUNCTION(a, b) ABSL_NO_THREAD_SAFETY_ANALYSIS
      : first_(&a < &b ? a : b),
        second_(&a < &b ? b : a) {
    first_.Lock();
    if (&first_ != &second_) second_.Lock();
  }
  ~TwoLocks() ABSL_UNLOCK_FUNCTION() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (&first_ != &second_) second_.Unlock();
    first_.Unlock();
  }

 private:
  absl::Mutex& first_;
  absl::Mutex& second_;
};

uint32_t ApplyOp(uint32_t op, uint32_t arg, uint32_t old) {
  switch (op) {
    case FUTEX_OP_SET:
      return arg;
    case FUTEX_OP_ADD:
      return old + arg;
    case FUTEX_OP_OR:
      return old | arg;
    case FUTEX_OP_ANDN:
      return old & ~arg;
    default:
      return old ^ arg;
  }
}

ErrnoOr<bool> Compare(uint32_t cmp, int32_t old, int32_t arg) {
  switch (cmp) {
    case FUTEX_OP_CMP_EQ:
      return old == arg;
    case FUTEX_OP_CMP_NE:
      return old != arg;
    case FUTEX_OP_CMP_LT:
      return old < arg;
    case FUTEX_OP_CMP_LE:
      return old <= arg;
    case FUTEX_OP_CMP_GT:
      return old > arg;
    case FUTEX_OP_CMP_GE:
      return old >= arg;
    default:
      return Errno::kNoSys;
  }
}

// Whether a waiter is to be woken.
bool MarkRobustWord(mm::MemoryManager& mm, uint64_t word, pid_t tid, bool pending) {
  if (word % sizeof(uint32_t) != 0 || word >= mm.task_size()) return false;
  const ErrnoOr<uint32_t> value = usermem::CopyIn(mm.space(), UserPtr<const uint32_t>(word));
  if (!value.ok()) return false;
  if (pending && *value == 0) return true;
  if ((*value & FUTEX_TID_MASK) != static_cast<uint32_t>(tid)) return false;
  const uint32_t dead = (*value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
  // Whether or not the waiters' bit was seen: a thread may have set it and gone to sleep since then.
  return usermem::CopyOut(mm.space(), UserPtr<uint32_t>(word), dead).ok();
}

}  // namespace

FutexManager& FutexManager::Get() {
  static FutexManager* const manager = new FutexManager;
  return *manager;
}

int FutexManager::IndexOf(const FutexKey& key) { return static_cast<int>(absl::HashOf(key) % kBuckets); }

ErrnoOr<FutexKey> FutexManager::KeyOf(mm::MemoryManager& mm, uint64_t addr, bool shared) const {
  if (addr % sizeof(uint32_t) != 0) return Errno::kInval;
  if (addr >= mm.task_size()) return Errno::kFault;
  if (shared) {
    const mm::MemoryManager::SharedKey key = mm.FutexKey(addr);
    if (key.shared) return FutexKey{key.device, key.inode, key.offset};
  }
  return FutexKey{reinterpret_cast<uint64_t>(&mm), addr, ~uint64_t{0}};
}

ErrnoOr<Ref<FutexWaiter>> FutexManager::Wait(mm::MemoryManager& mm, uint64_t addr, const FutexKey& key,
                                             uint32_t expected, uint32_t bitset) {
  const int index = IndexOf(key);
  Bucket& bucket = buckets_[index];
  Ref<FutexWaiter> waiter = MakeRef<FutexWaiter>(key, bitset);
  absl::MutexLock lock(&bucket.mu);
  if (TRY(usermem::CopyIn(mm.space(), UserPtr<const uint32_t>(addr))) != expected) return Errno::kAgain;
  waiter->bucket_.store(index, std::memory_order_release);
  bucket.waiters.push_back(waiter);
  return waiter;
}

int FutexManager::WakeLocked(Bucket& bucket, const FutexKey& key, int count, uint32_t bitset) {
  int woken = 0;
  for (auto it = bucket.waiters.begin(); it != bucket.waiters.end() && woken < count;) {
    if (!((*it)->key_ == key) || ((*it)->bitset_ & bitset) == 0) {
      ++it;
      continue;
    }
    const Ref<FutexWaiter> waiter = std::move(*it);
    it = bucket.waiters.erase(it);
    waiter->bucket_.store(-1, std::memory_order_release);
    waiter->woken_.store(true, std::memory_order_release);
    waiter->queue_.Notify(wait::Poll::kIn);
    ++woken;
  }
  return woken;
}

int FutexManager::Wake(const FutexKey& key, int count, uint32_t bitset) {
  Bucket& bucket = buckets_[IndexOf(key)];
  absl::MutexLock lock(&bucket.mu);
  return WakeLocked(bucket, key, count, bitset);
}

void FutexManager::Wake(mm::MemoryManager& mm, uint64_t addr, int count) {
  const ErrnoOr<FutexKey> own = KeyOf(mm, addr, false);
  if (!own.ok()) return;
  Wake(*own, count, FUTEX_BITSET_MATCH_ANY);
  const ErrnoOr<FutexKey> shared = KeyOf(mm, addr, true);
  if (shared.ok() && !(*shared == *own)) Wake(*shared, count, FUTEX_BITSET_MATCH_ANY);
}

ErrnoOr<int> FutexManager::Requeue(mm::MemoryManager& mm, uint64_t addr, const FutexKey& from,
                                   const FutexKey& to, int count, int move_count, const uint32_t* expected) {
  Bucket& source = buckets_[IndexOf(from)];
  const int target_index = IndexOf(to);
  Bucket& target = buckets_[target_index];
  const TwoLocks locks(source.mu, target.mu);
  if (expected != nullptr && TRY(usermem::CopyIn(mm.space(), UserPtr<const uint32_t>(addr))) != *expected) {
    return Errno::kAgain;
  }
  const int woken = WakeLocked(source, from, count, FUTEX_BITSET_MATCH_ANY);
  int moved = 0;
  std::list<Ref<FutexWaiter>> moving;
  for (auto it = source.waiters.begin(); it != source.waiters.end() && moved < move_count;) {
    const auto next = std::next(it);
    if ((*it)->key_ == from) {
      (*it)->key_ = to;
      (*it)->bucket_.store(target_index, std::memory_order_release);
      moving.splice(moving.end(), source.waiters, it);
      ++moved;
    }
    it = next;
  }
  target.waiters.splice(target.waiters.end(), moving);
  return expected != nullptr ? woken + moved : woken;
}

ErrnoOr<int> FutexManager::WakeOp(mm::MemoryManager& mm, uint64_t addr2, const FutexKey& key1,
                                  const FutexKey& key2, int count1, int count2, uint32_t op) {
  const uint32_t operation = op >> 28 & 7;
  uint32_t arg = static_cast<uint32_t>(static_cast<int32_t>(op << 8) >> 20);
  if (op >> 31 & 1) arg = 1u << (arg & 31);
  if (operation > FUTEX_OP_XOR) return Errno::kNoSys;
  const int32_t compare_with = static_cast<int32_t>(op << 20) >> 20;
  Bucket& first = buckets_[IndexOf(key1)];
  Bucket& second = buckets_[IndexOf(key2)];
  const TwoLocks locks(first.mu, second.mu);
  // Not atomic towards guest threads that change the word without the kernel in this very moment.
  const uint32_t old = TRY(usermem::CopyIn(mm.space(), UserPtr<const uint32_t>(addr2)));
  TRY_VOID(usermem::CopyOut(mm.space(), UserPtr<uint32_t>(addr2), ApplyOp(operation, arg, old)));
  int woken = WakeLocked(first, key1, count1, FUTEX_BITSET_MATCH_ANY);
  if (TRY(Compare(op >> 24 & 0xf, static_cast<int32_t>(old), compare_with))) {
    woken += WakeLocked(second, key2, count2, FUTEX_BITSET_MATCH_ANY);
  }
  return woken;
}

std::vector<uint64_t> FutexManager::MarkRobustList(mm::MemoryManager& mm, uint64_t head_addr, pid_t tid) {
  constexpr int kMaxEntries = 2048;  // ROBUST_LIST_LIMIT
  std::vector<uint64_t> wakes;
  const ErrnoOr<robust_list_head> head =
      usermem::CopyIn(mm.space(), UserPtr<const robust_list_head>(head_addr));
  if (!head.ok()) return wakes;
  const uint64_t pending = reinterpret_cast<uint64_t>(head->list_op_pending) & ~uint64_t{1};
  const uint64_t offset = static_cast<uint64_t>(head->futex_offset);
  uint64_t entry = reinterpret_cast<uint64_t>(head->list.next) & ~uint64_t{1};
  const auto mark = [&](uint64_t word, bool is_pending) {
    if (MarkRobustWord(mm, word, tid, is_pending)) wakes.push_back(word);
  };
  for (int i = 0; i < kMaxEntries && entry != head_addr; ++i) {
    const ErrnoOr<uint64_t> next = usermem::CopyIn(mm.space(), UserPtr<const uint64_t>(entry));
    if (entry != pending) mark(entry + offset, false);
    if (!next.ok()) break;
    entry = *next & ~uint64_t{1};
  }
  if (pending != 0) mark(pending + offset, true);
  return wakes;
}

void FutexWaiter::Drop() {
  FutexManager& manager = FutexManager::Get();
  for (;;) {
    const int index = bucket_.load(std::memory_order_acquire);
    if (index < 0) break;
    FutexManager::Bucket& bucket = manager.buckets_[index];
    absl::MutexLock lock(&bucket.mu);
    if (bucket_.load(std::memory_order_acquire) != index) continue;
    bucket.waiters.remove_if([this](const Ref<FutexWaiter>& waiter) { return waiter.get() == this; });
    bucket_.store(-1, std::memory_order_release);
    return;
  }
  if (woken_.load(std::memory_order_acquire) && !taken_) manager.Wake(key_, 1, bitset_);
}

}  // namespace cloister::ipc
