// mremap(2): decided in the order of Linux' mm/mremap.c, so that the same errors win.

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "sentry/mm/memory_manager.h"
#include "sentry/mm/page.h"

namespace cloister::mm {
namespace {

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

bool RangesMeet(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

}  // namespace

ErrnoOr<Plan> MemoryManager::Remap(uint64_t old_addr, uint64_t old_len, uint64_t new_len, int flags,
                                   uint64_t new_addr, const Limits& limits) {
  if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0) return Errno::kInval;
  const bool to_place = (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0;
  if (to_place && (flags & MREMAP_MAYMOVE) == 0) return Errno::kInval;
  const std::optional<uint64_t> old_size = PageUp(old_len);
  const std::optional<uint64_t> new_size = PageUp(new_len);
  if (!IsPageAligned(old_addr) || !old_size || !new_size || *new_size == 0) return Errno::kInval;
  if ((flags & MREMAP_DONTUNMAP) != 0 && *old_size != *new_size) return Errno::kInval;
  if (old_addr >= task_size_ || *old_size > task_size_ - old_addr) return Errno::kFault;
  if (*new_size > task_size_) return to_place ? Errno::kInval : Errno::kNoMem;
  const Move move{old_addr, *old_size, *new_size, new_addr, flags};
  if ((flags & MREMAP_FIXED) != 0) {
    if (!IsPageAligned(new_addr) || new_addr > task_size_ - *new_size) return Errno::kInval;
    if (new_addr < kMinAddress) return Errno::kPerm;
    if (RangesMeet(old_addr, *old_size, new_addr, *new_size)) return Errno::kInval;
  }

  Plan plan;
  absl::MutexLock lock(&mu_);
  if (areas_.size() + 4 > kMaxAreas) return Errno::kNoMem;
  const Area* const found = areas_.Find(old_addr);
  if (found == nullptr) return Errno::kFault;
  const Area area = *found;
  if (!to_place && *old_size >= *new_size) return Shrink(move);
  // Asked for less than there is: the rest is unmapped, and the part that stays is moved.
  Move part = move;
  part.old_len = std::min(part.old_len, part.new_len);
  TRY_VOID(CheckGrowth(part, area, limits, &plan));
  if ((flags & MREMAP_FIXED) != 0) return MoveTo(move, new_addr, std::move(plan));
  const uint64_t old_end = old_addr + *old_size;
  if (!to_place && *old_size > 0 && old_end == area.end) {
    const uint64_t more = *new_size - *old_size;
    if (more <= task_size_ - old_end && areas_.IsFree(old_end, old_end + more)) {
      return GrowInPlace(move, area, std::move(plan));
    }
  }
  if ((flags & MREMAP_MAYMOVE) == 0) return Errno::kNoMem;
  const bool hinted = (flags & MREMAP_DONTUNMAP) != 0 && new_addr != 0;
  const uint64_t target =
      hinted ? TRY(ChooseAddress(new_addr, *new_size, 0)) : TRY(FindFree(*new_size, false));
  return MoveTo(move, target, std::move(plan));
}

ErrnoOr<Plan> MemoryManager::Shrink(const Move& move) {
  Plan plan;
  plan.result = move.old_addr;
  if (move.old_len == move.new_len) return plan;
  plan.start = move.old_addr + move.new_len;
  plan.end = move.old_addr + move.old_len;
  plan.before = areas_.Remove(plan.start, plan.end);
  plan.ops.push_back(HostOp::Munmap(plan.start, plan.end - plan.start));
  return plan;
}

ErrnoOrVoid MemoryManager::CheckGrowth(const Move& move, const Area& area, const Limits& limits, Plan* plan) {
  if (move.old_len == 0 && !area.shared()) return Errno::kInval;
  if (move.old_len > area.end - move.old_addr) return Errno::kFault;
  const uint64_t more = move.new_len - move.old_len;
  const uint64_t offset = area.offset + (move.old_addr - area.start);
  if (more > 0 && area.file) {
    if (offset + move.new_len < offset || offset + move.new_len > INT64_MAX) return Errno::kInval;
    // The host extends the mapping over what follows in its file: that must be this file still.
    Mappable& mappable = *area.file.mappable;
    const bool writable = area.shared() && area.may_write;
    const uint64_t old_len = std::max(move.old_len, kPageSize);
    const Mappable::Backing now = TRY(mappable.BackingFor(offset, old_len, area.shared(), writable));
    const Mappable::Backing grown = TRY(mappable.BackingFor(offset, move.new_len, area.shared(), writable));
    if (now.host_fd != grown.host_fd || now.offset != grown.offset) return Errno::kNoMem;
    plan->keep.push_back(area.file);
  }
  if ((area.flags & MAP_LOCKED) != 0 && areas_.locked_bytes() + more > limits.locked) return Errno::kAgain;
  const bool doubles = (move.flags & MREMAP_DONTUNMAP) != 0;
  const uint64_t total = doubles ? move.new_len : more;
  return CheckLimits(total, area.is_data() ? total : 0, limits);
}

ErrnoOr<Plan> MemoryManager::GrowInPlace(const Move& move, const Area& area, Plan plan) {
  Area tail = area;
  tail.start = area.end;
  tail.end = area.end + (move.new_len - move.old_len);
  tail.offset = area.offset + area.size();
  plan.result = move.old_addr;
  plan.start = tail.start;
  plan.end = tail.end;
  plan.ops.push_back(HostOp::Mremap(move.old_addr, move.old_len, move.new_len, 0, 0));
  areas_.Insert(std::move(tail));
  return plan;
}

// One host call does all of it: what is at the target goes, the rest of a shrunk mapping goes,
// the pages move.
ErrnoOr<Plan> MemoryManager::MoveTo(const Move& move, uint64_t target, Plan plan) {
  const uint64_t old_end = move.old_addr + move.old_len;
  plan.result = plan.start = target;
  plan.end = target + move.new_len;
  plan.moved_start = move.old_addr;
  plan.moved_end = old_end;
  const int keep_old = move.flags & MREMAP_DONTUNMAP;
  plan.ops.push_back(HostOp::Mremap(move.old_addr, move.old_len, move.new_len,
                                    MREMAP_MAYMOVE | MREMAP_FIXED | keep_old, target));

  const Area* const source = areas_.Find(move.old_addr);
  Area moved = *source;
  moved.offset += move.old_addr - moved.start;
  moved.start = target;
  moved.end = target + move.new_len;
  if (moved.name == "[heap]") moved.name.clear();
  if (moved.file) plan.keep.push_back(moved.file);
  plan.before = areas_.Remove(plan.start, plan.end);
  for (Area& area : areas_.Copy(move.old_addr, old_end)) plan.before.push_back(std::move(area));
  if (keep_old == 0) areas_.Remove(move.old_addr, old_end);
  areas_.Insert(std::move(moved));
  return plan;
}

}  // namespace cloister::mm
