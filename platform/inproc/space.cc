#include "platform/inproc/space.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/host/unique_fd.h"

namespace cloister::inproc {

using platform::HostOp;

namespace {

constexpr int kAllProt = PROT_READ | PROT_WRITE | PROT_EXEC;
constexpr uint8_t kAnonymous = 0x20;  // of a page, beside kMapped: private, and zero where it was not touched

bool IsGoodRange(uint64_t addr, uint64_t length) {
  return addr % kPageSize == 0 && length > 0 && addr <= kTaskSize && length <= kTaskSize - addr;
}

uint64_t PageUp(uint64_t length) { return (length + kPageSize - 1) & ~(kPageSize - 1); }

// Copies by the kernel, so that a page beyond a file's end is a short copy and not a signal.
size_t CopyFrom(const std::byte* from, std::span<std::byte> dst) {
  const iovec own = {dst.data(), dst.size()};
  const iovec guest = {const_cast<std::byte*>(from), dst.size()};
  const ssize_t got = process_vm_readv(getpid(), &own, 1, &guest, 1, 0);
  return got < 0 ? 0 : static_cast<size_t>(got);
}

size_t CopyTo(std::byte* to, std::span<const std::byte> src) {
  const iovec own = {const_cast<std::byte*>(src.data()), src.size()};
  const iovec guest = {to, src.size()};
  const ssize_t got = process_vm_writev(getpid(), &own, 1, &guest, 1, 0);
  return got < 0 ? 0 : static_cast<size_t>(got);
}

// Copies a stretch of private pages; of an anonymous one those alone that were touched. proc_pid_pagemap(5).
void CopyPages(const std::byte* from, std::byte* to, size_t pages, bool anonymous) {
  constexpr uint64_t kTouched = uint64_t{3} << 62;  // in memory, or swapped out
  if (mprotect(to, pages * kPageSize, PROT_READ | PROT_WRITE) != 0) abort();
  std::vector<uint64_t> entries(pages, kTouched);
  if (anonymous) {
    const UniqueFd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    const auto first = static_cast<off_t>(reinterpret_cast<uint64_t>(from) / kPageSize * sizeof(uint64_t));
    const auto size = static_cast<ssize_t>(pages * sizeof(uint64_t));
    if (pread(pagemap.get(), entries.data(), pages * sizeof(uint64_t), first) != size) abort();
  }
  for (size_t i = 0; i < pages; ++i) {
    // Nothing beyond a file's end.
    if ((entries[i] & kTouched) != 0)
      static_cast<void>(CopyFrom(from + i * kPageSize, std::span(to + i * kPageSize, kPageSize)));
  }
}

}  // namespace

Space::Space() : pages_(kTaskSize / kPageSize) {
  void* const range = mmap(nullptr, kTaskSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) abort();
  base_ = static_cast<std::byte*>(range);
}

Space::~Space() { munmap(base_, kTaskSize); }

size_t Space::Accessible(uint64_t addr, size_t size, int prot) const {
  size_t reach = 0;
  while (reach < size && addr + reach >= addr && addr + reach < kTaskSize) {
    const uint8_t page = pages_[(addr + reach) / kPageSize];
    if ((page & kMapped) == 0 || (page & prot) != prot) break;
    reach += kPageSize - (addr + reach) % kPageSize;
  }
  return std::min(reach, size);
}

size_t Space::Read(uint64_t addr, std::span<std::byte> dst) {
  absl::MutexLock lock(&mu_);
  // As on the host's processors: what can be written or executed can be read.
  size_t reach = 0;
  while (reach < dst.size()) {
    size_t more = 0;
    for (const int prot : {PROT_READ, PROT_WRITE, PROT_EXEC}) {
      more = std::max(more, Accessible(addr + reach, dst.size() - reach, prot));
    }
    if (more == 0) break;
    reach += more;
  }
  return reach == 0 ? 0 : CopyFrom(At(addr), dst.first(reach));
}

size_t Space::Write(uint64_t addr, std::span<const std::byte> src) {
  absl::MutexLock lock(&mu_);
  const size_t reach = Accessible(addr, src.size(), PROT_WRITE);
  return reach == 0 ? 0 : CopyTo(At(addr), src.first(reach));
}

bool Space::AllMapped(uint64_t addr, uint64_t length) const {
  const auto first = pages_.begin() + static_cast<ptrdiff_t>(addr / kPageSize);
  return std::all_of(first, first + static_cast<ptrdiff_t>(length / kPageSize),
                     [](uint8_t page) { return (page & kMapped) != 0; });
}

void Space::Mark(uint64_t addr, uint64_t length, uint8_t page) {
  std::fill_n(pages_.begin() + static_cast<ptrdiff_t>(addr / kPageSize), length / kPageSize, page);
}

int64_t Space::Reserve(uint64_t addr, uint64_t length) {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (mmap(At(addr), length, PROT_NONE, kFlags, -1, 0) == MAP_FAILED) return -errno;
  Mark(addr, length, 0);
  return 0;
}

int64_t Space::Mmap(const HostOp& op) {
  const uint64_t addr = op.args[0], length = PageUp(op.args[1]);
  const int wanted = static_cast<int>(op.args[3]);
  if ((wanted & MAP_FIXED) == 0) return -EINVAL;
  const bool shared = (wanted & MAP_SHARED) != 0;
  const int flags =
      (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED | MAP_NORESERVE | (wanted & MAP_ANONYMOUS);
  const auto offset = static_cast<off_t>(op.args[5]);
  void* mapped = mmap(At(addr), length, PROT_READ | PROT_WRITE, flags, op.fd, offset);
  if (mapped == MAP_FAILED && errno == EACCES && (op.args[2] & PROT_WRITE) == 0) {
    mapped = mmap(At(addr), length, PROT_READ, flags, op.fd, offset);
  }
  if (mapped == MAP_FAILED) return -errno;
  const uint8_t kind = shared ? kShared : (wanted & MAP_ANONYMOUS) != 0 ? kAnonymous : 0;
  Mark(addr, length, static_cast<uint8_t>(kMapped | kind | (op.args[2] & kAllProt)));
  return static_cast<int64_t>(addr);
}

int64_t Space::Mremap(const HostOp& op) {
  const uint64_t old = op.args[0], old_len = PageUp(op.args[1]), new_len = PageUp(op.args[2]);
  const int flags = static_cast<int>(op.args[3]);
  constexpr int kDontUnmap = 4;
  const bool moves = (flags & MREMAP_FIXED) != 0;
  const uint64_t target = moves ? op.args[4] : old;
  if (!IsGoodRange(old, std::max(old_len, kPageSize)) || !IsGoodRange(target, new_len)) return -EINVAL;
  if (!AllMapped(old, std::max(old_len, kPageSize))) return -EFAULT;
  const std::vector<uint8_t> was(
      pages_.begin() + static_cast<ptrdiff_t>(old / kPageSize),
      pages_.begin() + static_cast<ptrdiff_t>((old + std::max(old_len, kPageSize)) / kPageSize));
  // The place of what grows is reserved: give it up first.
  if (!moves && new_len > old_len) munmap(At(old + old_len), new_len - old_len);
  if (mremap(At(old), old_len, new_len, flags, At(target)) == MAP_FAILED) {
    const int error = errno;
    if (!moves && new_len > old_len) static_cast<void>(Reserve(old + old_len, new_len - old_len));
    return -error;
  }
  if (moves && old_len > 0 && (flags & kDontUnmap) == 0) static_cast<void>(Reserve(old, old_len));
  if (!moves && new_len < old_len) static_cast<void>(Reserve(old + new_len, old_len - new_len));
  for (uint64_t at = 0; at < new_len; at += kPageSize) {
    pages_[(target + at) / kPageSize] = was[std::min<size_t>(at / kPageSize, was.size() - 1)];
  }
  return static_cast<int64_t>(target);
}

int64_t Space::CompareExchange(const HostOp& op) {
  const uint64_t addr = op.args[0];
  if (addr % sizeof(uint32_t) != 0) return -EINVAL;
  if (Accessible(addr, sizeof(uint32_t), PROT_WRITE) < sizeof(uint32_t)) return -EFAULT;
  auto expected = static_cast<uint32_t>(op.args[1]);
  std::atomic_ref<uint32_t> word(*reinterpret_cast<uint32_t*>(At(addr)));
  word.compare_exchange_strong(expected, static_cast<uint32_t>(op.args[2]));
  return expected;
}

int64_t Space::Run(const HostOp& op) {
  absl::MutexLock lock(&mu_);
  const uint64_t addr = op.args[0], length = PageUp(op.args[1]);
  switch (op.kind) {
    case HostOp::Kind::kMmap:
      return IsGoodRange(addr, length) ? Mmap(op) : -EINVAL;
    case HostOp::Kind::kMunmap:
      return IsGoodRange(addr, length) ? Reserve(addr, length) : -EINVAL;
    case HostOp::Kind::kMprotect:
      if (!IsGoodRange(addr, length)) return -EINVAL;
      if (!AllMapped(addr, length)) return -ENOMEM;
      for (uint64_t at = addr; at < addr + length; at += kPageSize) {
        uint8_t& page = pages_[at / kPageSize];
        page = static_cast<uint8_t>((page & ~kAllProt) | (op.args[2] & kAllProt));
      }
      return 0;
    case HostOp::Kind::kMremap:
      return Mremap(op);
    case HostOp::Kind::kMadvise:
      if (!IsGoodRange(addr, length)) return -EINVAL;
      if (!AllMapped(addr, length)) return -ENOMEM;
      return madvise(At(addr), length, static_cast<int>(op.args[2])) == 0 ? 0 : -errno;
    case HostOp::Kind::kCompareExchange:
      return CompareExchange(op);
    case HostOp::Kind::kUnpatchCalls:
      return 0;
    case HostOp::Kind::kStartAfresh:
    case HostOp::Kind::kPatchCall:
    case HostOp::Kind::kArchPrctl:
    case HostOp::Kind::kStoreFpState:
    case HostOp::Kind::kLoadFpState:
    case HostOp::Kind::kFutex:
    case HostOp::Kind::kFutexWaitv:
    case HostOp::Kind::kReadFile:
      return -EINVAL;
  }
  return -EINVAL;
}

Ref<Space> Space::Fork() {
  Ref<Space> child = MakeRef<Space>();
  absl::MutexLock lock(&mu_);
  absl::MutexLock child_lock(&child->mu_);
  // Most of it is empty, in long stretches.
  static constexpr uint8_t kNothing[4096] = {};
  for (size_t i = 0; i < pages_.size(); ++i) {
    if (i % sizeof(kNothing) == 0 && memcmp(&pages_[i], kNothing, sizeof(kNothing)) == 0) {
      i += sizeof(kNothing) - 1;
      continue;
    }
    if ((pages_[i] & kMapped) == 0) continue;
    std::byte* const from = At(i * kPageSize);
    std::byte* const to = child->At(i * kPageSize);
    child->pages_[i] = pages_[i];
    if ((pages_[i] & kShared) != 0) {
      // An old length of 0 maps the same shared memory once more.
      if (mremap(from, 0, kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) abort();
      continue;
    }
    const auto kind = static_cast<uint8_t>(pages_[i] & ~kAllProt);
    size_t pages = 1;
    for (; i + pages < pages_.size() && (pages_[i + pages] & ~kAllProt) == kind; ++pages) {
      child->pages_[i + pages] = pages_[i + pages];
    }
    CopyPages(from, to, pages, (kind & kAnonymous) != 0);
    i += pages - 1;
  }
  return child;
}

int Space::ProtectionAt(uint64_t addr) const {
  absl::MutexLock lock(&mu_);
  if (addr >= kTaskSize || (pages_[addr / kPageSize] & kMapped) == 0) return -1;
  return pages_[addr / kPageSize] & kAllProt;
}

}  // namespace cloister::inproc
