// madvise(2) and the mlock(2) family.

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "sentry/mm/memory_manager.h"
#include "sentry/mm/page.h"

namespace cloister::mm {
namespace {

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

enum class AdviceKind { kHost, kList, kUnknown };

// The others change what the sentry must know (poisoned pages, KSM, guard pages).
AdviceKind KindOf(int advice) {
  switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_REMOVE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
      return AdviceKind::kHost;
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
      return AdviceKind::kList;
    default:
      return AdviceKind::kUnknown;
  }
}

void ApplyAdvice(Area& area, int advice) {
  if (advice == MADV_DONTFORK || advice == MADV_DOFORK) area.dont_fork = advice == MADV_DONTFORK;
  if (advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK) area.wipe_on_fork = advice == MADV_WIPEONFORK;
  if (advice == MADV_DONTDUMP || advice == MADV_DODUMP) area.dont_dump = advice == MADV_DONTDUMP;
}

}  // namespace

ErrnoOr<Plan> MemoryManager::Advise(uint64_t addr, uint64_t length, int advice) {
  const AdviceKind kind = KindOf(advice);
  const std::optional<uint64_t> size = PageUp(length);
  if (kind == AdviceKind::kUnknown || !IsPageAligned(addr) || !size || *size > ~addr) return Errno::kInval;
  if (*size == 0) return Plan();
  if (addr > task_size_ || *size > task_size_ - addr) return Errno::kNoMem;
  const uint64_t end = addr + *size;

  absl::MutexLock lock(&mu_);
  if (kind == AdviceKind::kList) return AdviseList(addr, end, advice);
  bool allowed = true;
  areas_.Visit(addr, end, [&](const Area& area) {
    const bool drops = advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE;
    if (drops && (area.flags & MAP_LOCKED) != 0) allowed = false;
    // The host must not punch holes into a file that the guest may only read.
    if (advice == MADV_REMOVE && area.shared() && !area.may_write) allowed = false;
    return allowed;
  });
  if (!allowed) return advice == MADV_REMOVE ? Errno::kAcces : Errno::kInval;
  Plan plan;
  plan.ops.push_back(HostOp::Madvise(addr, *size, advice));
  return plan;
}

ErrnoOr<Plan> MemoryManager::AdviseList(uint64_t start, uint64_t end, int advice) {
  if (areas_.size() + 2 > kMaxAreas) return Errno::kNoMem;
  bool private_anonymous = true;
  areas_.Visit(start, end, [&](const Area& area) {
    if (area.shared() || area.file) private_anonymous = false;
    return private_anonymous;
  });
  if (advice == MADV_WIPEONFORK && !private_anonymous) return Errno::kInval;
  areas_.Change(start, end, [advice](Area& area) { ApplyAdvice(area, advice); });
  if (!areas_.Covers(start, end)) return Errno::kNoMem;  // after doing what there was, as Linux
  return Plan();
}

ErrnoOr<Plan> MemoryManager::Lock(uint64_t addr, uint64_t length, bool on_fault, const Limits& limits) {
  if (limits.locked == 0) return Errno::kPerm;
  const uint64_t start = addr & ~(kPageSize - 1);
  if (length > ~addr) return Errno::kInval;
  const std::optional<uint64_t> end = PageUp(addr + length);
  if (!end) return Errno::kInval;
  Plan plan;
  if (length == 0) return plan;
  if (*end > task_size_) return Errno::kNoMem;

  absl::MutexLock lock(&mu_);
  uint64_t more = 0;
  bool accessible = true;
  areas_.Visit(start, *end, [&](const Area& area) {
    if ((area.flags & MAP_LOCKED) == 0) more += std::min(area.end, *end) - std::max(area.start, start);
    if (area.prot == PROT_NONE) accessible = false;
    return true;
  });
  // As Linux: a limit is told before a hole is.
  if (areas_.locked_bytes() + more > limits.locked || areas_.size() + 2 > kMaxAreas) return Errno::kNoMem;
  if (!areas_.Covers(start, *end)) return Errno::kNoMem;
  areas_.Change(start, *end, [](Area& area) { area.flags |= MAP_LOCKED; });
  if (!accessible) return Errno::kNoMem;  // locked, but cannot be populated
  if (!on_fault) plan.ops.push_back(HostOp::Madvise(start, *end - start, MADV_POPULATE_READ));
  return plan;
}

ErrnoOrVoid MemoryManager::Unlock(uint64_t addr, uint64_t length) {
  const uint64_t start = addr & ~(kPageSize - 1);
  if (length > ~addr) return Errno::kInval;
  const std::optional<uint64_t> end = PageUp(addr + length);
  if (!end) return Errno::kInval;
  if (length == 0) return {};
  absl::MutexLock lock(&mu_);
  if (!areas_.Covers(start, *end) || areas_.size() + 2 > kMaxAreas) return Errno::kNoMem;
  areas_.Change(start, *end, [](Area& area) { area.flags &= ~MAP_LOCKED; });
  return {};
}

ErrnoOrVoid MemoryManager::LockAll(bool current, bool future, const Limits& limits) {
  if (limits.locked == 0) return Errno::kPerm;
  absl::MutexLock lock(&mu_);
  if (current && areas_.total_bytes() > limits.locked) return Errno::kNoMem;
  lock_future_ = future;
  if (current) areas_.Change(0, task_size_, [](Area& area) { area.flags |= MAP_LOCKED; });
  return {};
}

void MemoryManager::UnlockAll() {
  absl::MutexLock lock(&mu_);
  lock_future_ = false;
  areas_.Change(0, task_size_, [](Area& area) { area.flags &= ~MAP_LOCKED; });
}

}  // namespace cloister::mm
