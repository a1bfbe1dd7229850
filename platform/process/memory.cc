#include "platform/process/memory.h"

#include <sys/uio.h>

#include "platform/process/clock.h"

namespace cloister::process {

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
  for (pid_t pid : pids_) total += static_cast<uint64_t>(process::CpuTimeNs(pid));
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
