#include "platform/systrap/space.h"

#include <algorithm>
#include <atomic>

#include "platform/systrap/inline_window.h"

namespace cloister::systrap {
namespace {

// False while the last user of the slot still runs on its stack.
bool HasEnded(stub::Context* context) {
  return std::atomic_ref(context->alive).load(std::memory_order_acquire) == 0;
}

void MarkAlive(stub::Context* context) {
  std::atomic_ref(context->alive).store(1, std::memory_order_release);
}

}  // namespace

size_t Space::Read(uint64_t addr, std::span<std::byte> dst) {
  if (InlineWindow* window = InlineWindow::Of(this); window != nullptr && window->Read(addr, dst)) {
    return dst.size();
  }
  return memory_.Read(addr, dst);
}

size_t Space::Write(uint64_t addr, std::span<const std::byte> src) {
  if (InlineWindow* window = InlineWindow::Of(this); window != nullptr && window->Write(addr, src)) {
    return src.size();
  }
  return WriteMemory(addr, src);
}

ErrnoOr<uint32_t> Space::TakeSlot() {
  absl::MutexLock lock(&mu_);
  for (uint32_t i = 0; i < slot_limit_; ++i) {
    const uint32_t slot = (search_from_ + i) % slot_limit_;
    if (used_.test(slot) || !HasEnded(context(slot))) continue;
    used_.set(slot);
    MarkAlive(context(slot));
    search_from_ = slot + 1;
    slots_seen_ = std::max(slots_seen_, slot + 1);
    return slot;
  }
  return Errno::kAgain;
}

void Space::TakeSlotAt(uint32_t slot) {
  absl::MutexLock lock(&mu_);
  used_.set(slot);
  slots_seen_ = std::max(slots_seen_, slot + 1);
  MarkAlive(context(slot));
}

bool Space::HasOnly(uint32_t slot) {
  if (memory_.process_count() != 1) return false;
  absl::MutexLock lock(&mu_);
  for (uint32_t i = 0; i < slots_seen_; ++i) {
    if (i != slot && !HasEnded(context(i))) return false;
  }
  return true;
}

void Space::GiveSlot(uint32_t slot) {
  absl::MutexLock lock(&mu_);
  used_.reset(slot);
  search_from_ = std::min(search_from_, slot);
}

}  // namespace cloister::systrap
