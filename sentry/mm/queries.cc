// What others ask of the list: maps, futex keys, fork.

#include <algorithm>
#include <utility>

#include "sentry/mm/memory_manager.h"
#include "sentry/mm/page.h"

namespace cloister::mm {
namespace {

// [addr, addr + length) in whole pages, cut at the end of the address space.
std::pair<uint64_t, uint64_t> PagesOf(uint64_t addr, uint64_t length) {
  const uint64_t start = addr & ~(kPageSize - 1);
  const uint64_t end = PageUp(addr + std::min(length, ~addr)).value_or(~(kPageSize - 1));
  return {start, end};
}

}  // namespace

bool MemoryManager::AddSpecial(Area area) {
  absl::MutexLock lock(&mu_);
  if (area.start >= area.end || area.start < task_size_ || areas_.Overlaps(area.start, area.end))
    return false;
  areas_.Insert(std::move(area));
  return true;
}

Ref<MemoryManager> MemoryManager::Fork(Ref<AddressSpace> child, std::vector<HostOp>* extra) {
  absl::MutexLock lock(&mu_);
  auto copy =
      Ref<MemoryManager>::Adopt(new MemoryManager(std::move(child), task_size_, {stack_top_, mmap_base_}));
  absl::MutexLock child_lock(&copy->mu_);
  copy->areas_.set_owner(areas_.owner());  // Linux: it is the parent that opens the child's areas
  for (const auto& [start, area] : areas_.map()) {
    if (area.dont_fork) {
      extra->push_back(HostOp::Munmap(start, area.size()));
      continue;
    }
    if (area.wipe_on_fork) {
      extra->push_back(
          HostOp::Mmap(start, area.size(), area.prot, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    }
    Area inherited = area;
    inherited.flags &= ~MAP_LOCKED;  // mlock(2): not inherited
    copy->areas_.Insert(std::move(inherited));
  }
  copy->brk_base_ = brk_base_;
  copy->brk_ = brk_;
  copy->layout_ = layout_;
  return copy;
}

absl::InlinedVector<HostOp, 3> MemoryManager::PatchOps(uint64_t addr) const {
  const auto [start, end] = PagesOf(addr, HostOp::kPatchBytes);
  absl::MutexLock lock(&mu_);
  const Area* const area = areas_.Find(addr);
  if (area == nullptr || end > area->end || !area->file || area->shared()) return {};
  if ((area->prot & (PROT_EXEC | PROT_WRITE)) != PROT_EXEC) return {};
  constexpr int kAll = PROT_READ | PROT_WRITE | PROT_EXEC;
  return {HostOp::Mprotect(start, end - start, kAll), HostOp::PatchCall(addr),
          HostOp::Mprotect(start, end - start, area->prot)};
}

std::optional<Area> MemoryManager::AreaAt(uint64_t addr) const {
  absl::MutexLock lock(&mu_);
  const Area* const area = areas_.Find(addr);
  if (area == nullptr) return std::nullopt;
  return *area;
}

std::vector<Area> MemoryManager::Areas() const {
  std::vector<Area> all;
  absl::MutexLock lock(&mu_);
  all.reserve(areas_.size());
  for (const auto& [start, area] : areas_.map()) all.push_back(area);
  return all;
}

std::vector<Area> MemoryManager::AreasIn(uint64_t addr, uint64_t length) const {
  const auto [start, end] = PagesOf(addr, length);
  absl::MutexLock lock(&mu_);
  return areas_.Copy(start, end);
}

bool MemoryManager::IsMapped(uint64_t addr, uint64_t length) const {
  if (length > ~addr) return false;
  const auto [start, end] = PagesOf(addr, length);
  absl::MutexLock lock(&mu_);
  return areas_.Covers(start, end);
}

uint64_t MemoryManager::TotalBytes() const {
  absl::MutexLock lock(&mu_);
  return areas_.total_bytes();
}

uint64_t MemoryManager::LockedBytes() const {
  absl::MutexLock lock(&mu_);
  return areas_.locked_bytes();
}

MemoryManager::SharedKey MemoryManager::FutexKey(uint64_t addr) const {
  absl::MutexLock lock(&mu_);
  const Area* const area = areas_.Find(addr);
  if (area == nullptr || !area->shared()) return {};
  const uint64_t offset = area->offset + (addr - area->start);
  if (!area->file) return {0, area->shared_id, offset, true};
  const Mappable::Identity identity = area->file.mappable->identity();
  return {identity.device, identity.inode, offset, true};
}

MemoryManager::Layout MemoryManager::layout() const {
  absl::MutexLock lock(&mu_);
  return layout_;
}

void MemoryManager::SetLayout(Layout layout) {
  absl::MutexLock lock(&mu_);
  layout_ = std::move(layout);
}

bool MemoryManager::TryTakeOp() {
  absl::MutexLock lock(&mu_);
  if (op_taken_) return false;
  op_taken_ = true;
  return true;
}

void MemoryManager::ReleaseOp() {
  {
    absl::MutexLock lock(&mu_);
    op_taken_ = false;
  }
  op_queue_.Notify(wait::Poll::kIn);
}

}  // namespace cloister::mm
