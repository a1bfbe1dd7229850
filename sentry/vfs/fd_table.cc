#include "sentry/vfs/fd_table.h"

#include <algorithm>
#include <utility>

#include "sentry/vfs/file_locks.h"

namespace cloister::vfs {
namespace {

constexpr uint64_t kMaxFds = 1 << 20;  // Linux: sysctl fs.nr_open

}  // namespace

FdTable::~FdTable() {
  for (const Slot& slot : slots_) {
    if (slot.file) DropPosixLocks(*slot.file);
  }
}

void FdTable::DropPosixLocks(const FileDescription& file) const {
  if (file.is_path_only()) return;
  const Ref<Inode> inode = file.inode();
  if (!inode) return;
  if (FileLocks* const locks = inode->locks_if_any()) locks->ReleaseAll(this);
}

ErrnoOr<Ref<FileDescription>> FdTable::Get(int fd) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto index = static_cast<uint32_t>(fd);
  if (index >= slots_.size() || !slots_[index].file) return Errno::kBadf;
  return slots_[index].file;
}

ErrnoOr<int> FdTable::Install(Ref<FileDescription> file, bool cloexec, int least, uint64_t limit) {
  absl::MutexLock lock(&mu_);
  const bool from_lowest = static_cast<size_t>(least) <= lowest_free_;
  size_t fd = std::max<size_t>(lowest_free_, static_cast<size_t>(least));
  while (fd < slots_.size() && slots_[fd].file) ++fd;
  if (fd >= std::min(limit, kMaxFds)) return Errno::kMFile;
  if (fd >= slots_.size()) slots_.resize(fd + 1);
  slots_[fd] = {std::move(file), cloexec};
  if (from_lowest) lowest_free_ = fd + 1;
  return static_cast<int>(fd);
}

ErrnoOr<Ref<FileDescription>> FdTable::InstallAt(int fd, Ref<FileDescription> file, bool cloexec,
                                                 uint64_t limit) {
  Ref<FileDescription> before;
  {
    absl::MutexLock lock(&mu_);
    const auto index = static_cast<uint32_t>(fd);
    if (index >= std::min(limit, kMaxFds)) return Errno::kBadf;
    if (index >= slots_.size()) slots_.resize(index + 1);
    before = std::move(slots_[index].file);
    slots_[index] = {std::move(file), cloexec};
  }
  if (before) DropPosixLocks(*before);
  return before;
}

Ref<FileDescription> FdTable::TakeLocked(size_t index) {
  lowest_free_ = std::min(lowest_free_, index);
  return std::move(slots_[index].file);
}

ErrnoOr<Ref<FileDescription>> FdTable::Remove(int fd) {
  Ref<FileDescription> file;
  {
    absl::MutexLock lock(&mu_);
    const auto index = static_cast<uint32_t>(fd);
    if (index >= slots_.size() || !slots_[index].file) return Errno::kBadf;
    file = TakeLocked(index);
  }
  DropPosixLocks(*file);
  return file;
}

std::vector<Ref<FileDescription>> FdTable::RemoveWhere(size_t first, size_t end, bool only_cloexec) {
  std::vector<Ref<FileDescription>> removed;
  {
    absl::MutexLock lock(&mu_);
    for (size_t i = first; i < std::min(end, slots_.size()); ++i) {
      if (slots_[i].file && (slots_[i].cloexec || !only_cloexec)) removed.push_back(TakeLocked(i));
    }
  }
  for (const auto& file : removed) DropPosixLocks(*file);
  return removed;
}

std::vector<Ref<FileDescription>> FdTable::RemoveRange(uint32_t first, uint32_t last) {
  return RemoveWhere(first, size_t{last} + 1, false);
}

std::vector<Ref<FileDescription>> FdTable::RemoveCloexec() { return RemoveWhere(0, ~size_t{0}, true); }

void FdTable::SetCloexecRange(uint32_t first, uint32_t last) {
  absl::MutexLock lock(&mu_);
  for (size_t i = first; i < std::min(size_t{last} + 1, slots_.size()); ++i) slots_[i].cloexec = true;
}

ErrnoOr<bool> FdTable::GetCloexec(int fd) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto index = static_cast<uint32_t>(fd);
  if (index >= slots_.size() || !slots_[index].file) return Errno::kBadf;
  return slots_[index].cloexec;
}

ErrnoOrVoid FdTable::SetCloexec(int fd, bool cloexec) {
  absl::MutexLock lock(&mu_);
  const auto index = static_cast<uint32_t>(fd);
  if (index >= slots_.size() || !slots_[index].file) return Errno::kBadf;
  slots_[index].cloexec = cloexec;
  return {};
}

Ref<FdTable> FdTable::Copy() const {
  Ref<FdTable> copy = MakeRef<FdTable>();
  absl::ReaderMutexLock lock(&mu_);
  absl::MutexLock copy_lock(&copy->mu_);
  copy->slots_ = slots_;
  copy->lowest_free_ = lowest_free_;
  return copy;
}

std::vector<int> FdTable::Numbers() const {
  absl::ReaderMutexLock lock(&mu_);
  std::vector<int> numbers;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].file) numbers.push_back(static_cast<int>(i));
  }
  return numbers;
}

size_t FdTable::size() const {
  absl::ReaderMutexLock lock(&mu_);
  constexpr size_t kStep = 64;  // Linux grows the table by whole words of bits
  return std::max(kStep, (slots_.size() + kStep - 1) / kStep * kStep);
}

}  // namespace cloister::vfs
