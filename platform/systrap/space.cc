#include "platform/systrap/space.h"

#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <atomic>

#include "platform/systrap/inline_window.h"

namespace cloister::systrap {
namespace {

// clock_gettime(2), "CLOCK_PROCESS_CPUTIME_ID": the clock of another process.
clockid_t ProcessCpuClock(pid_t pid) {
  return static_cast<clockid_t>((~static_cast<unsigned>(pid) << 3) | 2);
}

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
  const iovec local = {dst.data(), dst.size()};
  const iovec remote = {reinterpret_cast<void*>(addr), dst.size()};
  absl::ReaderMutexLock lock(&mu_);
  if (pids_.empty()) return 0;
  const ssize_t done = process_vm_readv(pids_.front(), &local, 1, &remote, 1, 0);
  return done > 0 ? static_cast<size_t>(done) : 0;
}

size_t Space::Write(uint64_t addr, std::span<const std::byte> src) {
  if (InlineWindow* window = InlineWindow::Of(this); window != nullptr && window->Write(addr, src)) {
    return src.size();
  }
  return WriteMemory(addr, src);
}

size_t Space::WriteMemory(uint64_t addr, std::span<const std::byte> src) {
  const iovec local = {const_cast<std::byte*>(src.data()), src.size()};
  const iovec remote = {reinterpret_cast<void*>(addr), src.size()};
  absl::ReaderMutexLock lock(&mu_);
  if (pids_.empty()) return 0;
  const ssize_t done = process_vm_writev(pids_.front(), &local, 1, &remote, 1, 0);
  return done > 0 ? static_cast<size_t>(done) : 0;
}

uint64_t Space::CpuTimeNs() const {
  absl::ReaderMutexLock lock(&mu_);
  uint64_t total = 0;
  for (pid_t pid : pids_) {
    timespec used = {};
    if (clock_gettime(ProcessCpuClock(pid), &used) != 0) continue;
    total += static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
  }
  return total;
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
  absl::MutexLock lock(&mu_);
  if (pids_.size() != 1) return false;
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

void Space::AddProcess(pid_t pid) {
  absl::MutexLock lock(&mu_);
  pids_.push_back(pid);
}

void Space::RemoveProcess(pid_t pid) {
  absl::MutexLock lock(&mu_);
  std::erase(pids_, pid);
}

}  // namespace cloister::systrap
