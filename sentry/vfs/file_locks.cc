#include "sentry/vfs/file_locks.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace cloister::vfs {
namespace {

// Who waits for whom, over all files. Linux: blocked_hash and posix_locks_deadlock.
class WaitGraph {
 public:
  static WaitGraph& Get() {
    static WaitGraph* const graph = new WaitGraph;
    return *graph;
  }

  // Notes (or renews) that waiter waits for holder. False, and nothing noted, if that closes a ring.
  bool Note(uint64_t& id, const void* waiter, const void* holder) {
    absl::MutexLock lock(&mu_);
    if (ReachesLocked(holder, waiter)) return false;
    if (id == 0) id = next_id_++;
    edges_[id] = {waiter, holder};
    return true;
  }

  void Forget(uint64_t id) {
    absl::MutexLock lock(&mu_);
    edges_.erase(id);
  }

 private:
  struct Edge {
    const void* waiter;
    const void* holder;
  };
  static constexpr int kMaxSteps = 10;  // Linux: MAX_DEADLK_ITERATIONS

  bool ReachesLocked(const void* from, const void* to) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    for (int step = 0; step < kMaxSteps; ++step) {
      if (from == to) return true;
      const auto edge = std::find_if(edges_.begin(), edges_.end(),
                                     [&](const auto& each) { return each.second.waiter == from; });
      if (edge == edges_.end()) return false;
      from = edge->second.holder;
    }
    return false;
  }

  absl::Mutex mu_;  // leaf
  absl::flat_hash_map<uint64_t, Edge> edges_ ABSL_GUARDED_BY(mu_);
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
};

bool Overlap(FileLocks::Range a, FileLocks::Range b) { return a.first < b.end && b.first < a.end; }
bool Touch(FileLocks::Range a, FileLocks::Range b) { return a.first <= b.end && b.first <= a.end; }

}  // namespace

LockWait::LockWait(LockWait&& other) noexcept : id_(std::exchange(other.id_, 0)) {}

LockWait& LockWait::operator=(LockWait&& other) noexcept {
  std::swap(id_, other.id_);
  return *this;
}

LockWait::~LockWait() {
  if (id_ != 0) WaitGraph::Get().Forget(id_);
}

ErrnoOrVoid FileLocks::Flock(const void* description, Type type) {
  bool dropped = false;
  ErrnoOrVoid result;
  {
    absl::MutexLock lock(&mu_);
    const auto own = std::find_if(flocks_.begin(), flocks_.end(),
                                  [&](const Conflict& held) { return held.owner.id == description; });
    if (own != flocks_.end()) {
      if (own->type == type) return {};
      // A change of type is a release and a new request: the old lock is lost even if that fails.
      flocks_.erase(own);
      dropped = true;
    }
    const bool refused = std::any_of(flocks_.begin(), flocks_.end(), [&](const Conflict& held) {
      return held.type == Type::kExclusive || type == Type::kExclusive;
    });
    if (refused) {
      result = Errno::kAgain;
    } else {
      flocks_.push_back({{description, 0}, type, {}});
    }
  }
  if (dropped) queue_.Notify(wait::Poll::kIn);
  return result;
}

void FileLocks::Funlock(const void* description) {
  {
    absl::MutexLock lock(&mu_);
    const auto erased =
        std::erase_if(flocks_, [&](const Conflict& held) { return held.owner.id == description; });
    if (erased == 0) return;
  }
  queue_.Notify(wait::Poll::kIn);
}

const FileLocks::Conflict* FileLocks::FindConflictLocked(const Owner& owner, Type type, Range range) const {
  for (const Conflict& held : posix_) {
    if (held.owner == owner || !Overlap(held.range, range)) continue;
    if (held.type == Type::kExclusive || type == Type::kExclusive) return &held;
  }
  return nullptr;
}

bool FileLocks::CarveLocked(const Owner& owner, Range range) {
  bool any = false;
  std::vector<Conflict> remains;
  remains.reserve(posix_.size() + 1);
  for (const Conflict& held : posix_) {
    if (!(held.owner == owner) || !Overlap(held.range, range)) {
      remains.push_back(held);
      continue;
    }
    any = true;
    if (held.range.first < range.first)
      remains.push_back({held.owner, held.type, {held.range.first, range.first}});
    if (held.range.end > range.end) remains.push_back({held.owner, held.type, {range.end, held.range.end}});
  }
  posix_ = std::move(remains);
  return any;
}

bool FileLocks::PutLocked(const Owner& owner, Type type, Range range) {
  const bool weaker = CarveLocked(owner, range) && type == Type::kShared;
  std::erase_if(posix_, [&](const Conflict& held) {
    if (!(held.owner == owner) || held.type != type || !Touch(held.range, range)) return false;
    range = {std::min(range.first, held.range.first), std::max(range.end, held.range.end)};
    return true;
  });
  const auto place =
      std::upper_bound(posix_.begin(), posix_.end(), range.first,
                       [](uint64_t first, const Conflict& held) { return first < held.range.first; });
  posix_.insert(place, {owner, type, range});
  return weaker;
}

ErrnoOrVoid FileLocks::Lock(const Owner& owner, Type type, Range range) {
  bool weaker = false;
  {
    absl::MutexLock lock(&mu_);
    if (FindConflictLocked(owner, type, range) != nullptr) return Errno::kAgain;
    weaker = PutLocked(owner, type, range);
  }
  if (weaker) queue_.Notify(wait::Poll::kIn);
  return {};
}

ErrnoOrVoid FileLocks::LockOrWait(const Owner& owner, Type type, Range range, LockWait& wait) {
  bool weaker = false;
  {
    absl::MutexLock lock(&mu_);
    if (const Conflict* const conflict = FindConflictLocked(owner, type, range)) {
      if (!WaitGraph::Get().Note(wait.id_, owner.id, conflict->owner.id)) return Errno::kDeadLk;
      return Errno::kAgain;
    }
    weaker = PutLocked(owner, type, range);
  }
  wait = LockWait();
  if (weaker) queue_.Notify(wait::Poll::kIn);
  return {};
}

void FileLocks::Unlock(const Owner& owner, Range range) {
  {
    absl::MutexLock lock(&mu_);
    if (!CarveLocked(owner, range)) return;
  }
  queue_.Notify(wait::Poll::kIn);
}

std::optional<FileLocks::Conflict> FileLocks::Test(const Owner& owner, Type type, Range range) const {
  absl::MutexLock lock(&mu_);
  const Conflict* const found = FindConflictLocked(owner, type, range);
  if (found == nullptr) return std::nullopt;
  return *found;
}

void FileLocks::ReleaseAll(const void* id) {
  {
    absl::MutexLock lock(&mu_);
    const auto is_its = [&](const Conflict& held) { return held.owner.id == id; };
    if (std::erase_if(posix_, is_its) + std::erase_if(flocks_, is_its) == 0) return;
  }
  queue_.Notify(wait::Poll::kIn);
}

std::vector<FileLocks::Conflict> FileLocks::Held(bool flocks) const {
  absl::MutexLock lock(&mu_);
  return flocks ? flocks_ : posix_;
}

}  // namespace cloister::vfs
