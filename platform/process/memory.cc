#include "platform/process/memory.h"

#include <sys/uio.h>
#include <time.h>

namespace cloister::process {
namespace {

// clock_gettime(2), "CLOCK_PROCESS_CPUTIME_ID": the clock of another process.
clockid_t ProcessCpuClock(pid_t pid) {
  return static_cast<clockid_t>((~static_cast<unsigned>(pid) << 3) | 2);
}

}  // namespace

size_t Memory::Read(uint64_t addr, std::span<std::byte> dst) const {
  const iovec local = {dst.data(), dst.size()};
  const iovec remote = {reinterpret_cast<void*>(addr), dst.size()};
  absl::ReaderMutexLock lock(&mu_);
  if (pids_.empty()) return 0;
  const ssize_t done = process_vm_readv(pids_.front(), &local, 1, &remote, 1, 0);
  return done > 0 ? static_cast<size_t>(done) : 0;
}

size_t Memory::Write(uint64_t addr, std::span<const std::byte> src) const {
  const iovec local = {const_cast<std::byte*>(src.data()), src.size()};
  const iovec remote = {reinterpret_cast<void*>(addr), src.size()};
  absl::ReaderMutexLock lock(&mu_);
  if (pids_.empty()) return 0;
  const ssize_t done = process_vm_writev(pids_.front(), &local, 1, &remote, 1, 0);
  return done > 0 ? static_cast<size_t>(done) : 0;
}

uint64_t Memory::CpuTimeNs() const {
  absl::ReaderMutexLock lock(&mu_);
  uint64_t total = 0;
  for (pid_t pid : pids_) {
    timespec used = {};
    if (clock_gettime(ProcessCpuClock(pid), &used) != 0) continue;
    total += static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
  }
  return total;
}

void Memory::AddProcess(pid_t pid) {
  absl::MutexLock lock(&mu_);
  pids_.push_back(pid);
}

void Memory::RemoveProcess(pid_t pid) {
  absl::MutexLock lock(&mu_);
  std::erase(pids_, pid);
}

size_t Memory::process_count() const {
  absl::MutexLock lock(&mu_);
  return pids_.size();
}

}  // namespace cloister::process
