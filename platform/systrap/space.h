#ifndef CLOISTER_PLATFORM_SYSTRAP_SPACE_H_
#define CLOISTER_PLATFORM_SYSTRAP_SPACE_H_

#include <sys/types.h>

#include <bitset>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "platform/api/address_space.h"
#include "platform/process/memory.h"
#include "platform/systrap/arena.h"

namespace cloister::systrap {

// The memory of a stub process: a stride of context pages, and the host processes that live in it (more
// than one after vfork). Kept by its threads and processes; the last reference frees the stride.
class Space final : public RefCounted {
 public:
  // Takes over stride `index`. Threads get the slots below slot_limit.
  Space(Arena* arena, uint32_t index, uint32_t slot_limit)
      : arena_(arena), index_(index), slot_limit_(slot_limit) {}

  // platform::AddressSpace's.
  size_t Read(uint64_t addr, std::span<std::byte> dst);
  size_t Write(uint64_t addr, std::span<const std::byte> src);
  uint64_t CpuTimeNs() const { return memory_.CpuTimeNs(); }
  // As Write, past the inline window.
  size_t WriteMemory(uint64_t addr, std::span<const std::byte> src) { return memory_.Write(addr, src); }

  uint32_t index() const { return index_; }
  stub::Context* context(uint32_t slot) const { return arena_->context(index_, slot); }

  // A slot whose last user has left its stack for good, as far as the guest can be believed: where
  // it lies, two of its own threads get in each other's way. kAgain if there is none.
  ErrnoOr<uint32_t> TakeSlot() ABSL_LOCKS_EXCLUDED(mu_);
  // The slot of a forked child is its parent's.
  void TakeSlotAt(uint32_t slot) ABSL_LOCKS_EXCLUDED(mu_);
  void GiveSlot(uint32_t slot) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether one process alone lives here, and all other threads have left their stacks for good.
  bool HasOnly(uint32_t slot) ABSL_LOCKS_EXCLUDED(mu_);

  // Host processes by which the memory can be reached. After RemoveProcess has returned, nobody
  // uses the pid any more, so that it may be reaped.
  void AddProcess(pid_t pid) { memory_.AddProcess(pid); }
  void RemoveProcess(pid_t pid) { memory_.RemoveProcess(pid); }

 private:
  ~Space() override { arena_->Give(index_); }

  Arena* const arena_;
  const uint32_t index_;
  const uint32_t slot_limit_;
  process::Memory memory_;
  absl::Mutex mu_;  // leaf lock
  std::bitset<stub::kSlots> used_ ABSL_GUARDED_BY(mu_);
  uint32_t search_from_ ABSL_GUARDED_BY(mu_) = 0;
  uint32_t slots_seen_ ABSL_GUARDED_BY(mu_) = 0;  // none from here on was ever taken
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_SPACE_H_
