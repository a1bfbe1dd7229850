#include "sentry/fs/tmp/file_data.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/host/host_stat.h"
#include "sentry/fs/tmp/memory_budget.h"

namespace cloister::tmp {
namespace {

// Up to here a file is cheaper to keep here than to give a descriptor of the host's.
constexpr uint64_t kMaxSmall = 16 << 10;
constexpr uint64_t kMaxSize = std::numeric_limits<int64_t>::max();

ErrnoOr<size_t> PreadAll(int fd, std::span<std::byte> into, uint64_t offset) {
  while (true) {
    const ssize_t got = pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return FromHostErrno(errno);
  }
}

ErrnoOr<size_t> PwriteAll(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (true) {
    const ssize_t put = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put >= 0) return static_cast<size_t>(put);
    if (errno != EINTR) return FromHostErrno(errno);
  }
}

}  // namespace

FileData::~FileData() {
  fs_.GivePages(charged_);
  const UniqueFd close_it(fd());
}

void FileData::ChargeLocked(uint64_t pages) {
  if (pages > charged_) {
    fs_.ForcePages(pages - charged_);
  } else {
    fs_.GivePages(charged_ - pages);
  }
  charged_ = pages;
}

void FileData::RecountLocked() {
  struct stat attr;
  if (fd() < 0 || HostStat(fd(), &attr) != 0) return;
  constexpr uint64_t kBlock = 512;
  ChargeLocked(static_cast<uint64_t>(attr.st_blocks) * kBlock / kPageSize);
}

uint64_t FileData::Used() {
  absl::MutexLock lock(&mu_);
  RecountLocked();  // mappings fill holes unseen
  return charged_ * kPageSize;
}

ErrnoOrVoid FileData::CheckBudget() {
  static_cast<void>(Used());
  if (MemoryBudget::Get().exhausted()) return Errno::kNoMem;
  return {};
}

void FileData::GrowSizeLocked(uint64_t end) {
  if (end > size()) size_.store(end, std::memory_order_release);
}

uint64_t FileData::ReserveLocked(uint64_t start, uint64_t end) {
  if (end <= solid_) return end;
  const uint64_t first_page = std::max(start, solid_ / kPageSize * kPageSize) / kPageSize;
  const uint64_t have = first_page * kPageSize < solid_ ? 1 : 0;  // the page that solid_ ends in
  const uint64_t wanted = PagesOf(end) - first_page - have;
  const uint64_t got = fs_.TakePages(wanted);
  charged_ += got;
  if (got == wanted) return end;
  return std::min(end, (first_page + have + got) * kPageSize);
}

ErrnoOrVoid FileData::MoveToHostLocked(unsigned more_flags) {
  if (fd() >= 0) return {};
  const unsigned flags = MFD_CLOEXEC | (sealable_ ? MFD_ALLOW_SEALING : 0) | more_flags;
  UniqueFd made(memfd_create(name_.c_str(), flags));
  if (!made.ok()) return FromHostErrno(errno);
  if (!small_.empty()) {
    const size_t put = TRY(PwriteAll(made.get(), small_, 0));
    if (put < small_.size()) return Errno::kNoSpc;
  }
  solid_ = small_.size();
  std::vector<std::byte>().swap(small_);
  fd_.store(made.Release(), std::memory_order_release);
  return {};
}

ErrnoOr<int> FileData::HostFd() {
  if (fd() >= 0) return fd();
  absl::MutexLock lock(&mu_);
  TRY_VOID(MoveToHostLocked());
  return fd();
}

ErrnoOr<size_t> FileData::ReadAt(UserBuffer& dst, uint64_t offset) {
  if (fd() < 0) {
    absl::MutexLock lock(&mu_);
    if (fd() < 0) {
      if (offset >= small_.size()) return size_t{0};
      return dst.CopyOut(std::span(small_).subspan(offset));
    }
  }
  uint64_t at = offset;
  return dst.FillFrom([&](std::span<std::byte> space) -> ErrnoOr<size_t> {
    const size_t got = TRY(PreadAll(fd(), space, at));
    at += got;
    return got;
  });
}

ErrnoOr<size_t> FileData::WriteSmallLocked(UserBuffer& src, size_t offset) {
  const size_t before = small_.size();
  small_.resize(std::max(before, offset + src.size()));
  const ErrnoOr<size_t> copied = src.CopyIn(std::span(small_).subspan(offset, src.size()));
  small_.resize(std::max(before, offset + (copied.ok() ? *copied : 0)));
  solid_ = small_.size();
  ChargeLocked(PagesOf(small_.size()));
  GrowSizeLocked(small_.size());
  return copied;
}

ErrnoOr<size_t> FileData::WriteHostLocked(UserBuffer& src, uint64_t offset) {
  const bool contiguous = offset <= solid_;
  uint64_t at = offset;
  const ErrnoOr<size_t> written = src.DrainTo([&](std::span<const std::byte> bytes) -> ErrnoOr<size_t> {
    const size_t put = TRY(PwriteAll(fd(), bytes, at));
    at += put;
    return put;
  });
  GrowSizeLocked(at > offset ? at : 0);
  if (contiguous) solid_ = std::max(solid_, at);
  return written;
}

ErrnoOr<size_t> FileData::WriteAt(UserBuffer& src, uint64_t offset) {
  if (src.empty()) return size_t{0};
  if (offset >= kMaxSize) return Errno::kFBig;
  src.Truncate(std::min<uint64_t>(src.size(), kMaxSize - offset));
  absl::MutexLock lock(&mu_);
  const uint64_t end = offset + src.size();
  const bool small = fd() < 0 && offset <= small_.size() && end <= kMaxSmall;
  if (!small) TRY_VOID(MoveToHostLocked());
  const uint64_t charged_before = charged_;
  const uint64_t room = ReserveLocked(offset, end);
  if (room <= offset) {
    ChargeLocked(charged_before);
    return Errno::kNoSpc;
  }
  src.Truncate(room - offset);
  if (small) return WriteSmallLocked(src, offset);
  const bool exact = offset <= solid_;
  const ErrnoOr<size_t> written = WriteHostLocked(src, offset);
  // What was reserved for holes that were none, or not written in the end, goes back.
  if (!exact || !written.ok() || !src.empty()) RecountLocked();
  return written;
}

ErrnoOrVoid FileData::Resize(uint64_t size) {
  if (size > kMaxSize) return Errno::kInval;
  absl::MutexLock lock(&mu_);
  if (fd() < 0 && size <= small_.size()) {
    small_.resize(size);
    small_.shrink_to_fit();
    solid_ = size;
    ChargeLocked(PagesOf(size));
  } else {
    TRY_VOID(MoveToHostLocked());
    if (ftruncate(fd(), static_cast<off_t>(size)) != 0) return FromHostErrno(errno);
    if (size < this->size()) {
      solid_ = std::min(solid_, size);
      RecountLocked();
    }
  }
  size_.store(size, std::memory_order_release);
  return {};
}

ErrnoOrVoid FileData::Allocate(int mode, uint64_t offset, uint64_t length) {
  constexpr int kKnown = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
  if ((mode & ~kKnown) != 0) return Errno::kOpNotSupp;
  const bool punch = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
  // As Linux' tmpfs: no FALLOC_FL_ZERO_RANGE, and a hole keeps the size.
  if ((mode & FALLOC_FL_ZERO_RANGE) != 0 || (punch && (mode & FALLOC_FL_KEEP_SIZE) == 0))
    return Errno::kOpNotSupp;
  uint64_t end;
  if (__builtin_add_overflow(offset, length, &end) || end > kMaxSize) return Errno::kFBig;
  absl::MutexLock lock(&mu_);
  TRY_VOID(MoveToHostLocked());
  const uint64_t charged_before = charged_;
  if (!punch && ReserveLocked(offset, end) < end) {
    ChargeLocked(charged_before);
    return Errno::kNoSpc;
  }
  const int result = fallocate(fd(), mode, static_cast<off_t>(offset), static_cast<off_t>(length));
  const int error = errno;
  if (punch) solid_ = std::min(solid_, offset);
  RecountLocked();
  if (result != 0) return FromHostErrno(error);
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) GrowSizeLocked(end);
  if (!punch && offset <= solid_) solid_ = std::max(solid_, std::min(end, size()));
  return {};
}

ErrnoOr<int64_t> FileData::SeekHole(int64_t offset, bool data) {
  absl::MutexLock lock(&mu_);
  if (offset < 0 || static_cast<uint64_t>(offset) >= size()) return Errno::kNxIo;
  if (fd() < 0) return data ? offset : static_cast<int64_t>(small_.size());
  const off_t found = lseek(fd(), offset, data ? SEEK_DATA : SEEK_HOLE);
  if (found < 0) return FromHostErrno(errno);
  return static_cast<int64_t>(found);
}

ErrnoOr<int> FileData::Seals() {
  if (!sealable_) return F_SEAL_SEAL;
  const int host_fd = TRY(HostFd());
  const int seals = fcntl(host_fd, F_GET_SEALS);
  if (seals < 0) return FromHostErrno(errno);
  return seals;
}

ErrnoOrVoid FileData::AddSeals(int seals) {
  if (!sealable_) return Errno::kPerm;
  const int host_fd = TRY(HostFd());
  absl::MutexLock lock(&mu_);
  return fcntl(host_fd, F_ADD_SEALS, seals) == 0 ? Ok() : FromHostErrno(errno);
}

ErrnoOrVoid FileData::SealNotExecutable() {
  constexpr unsigned kNoExecSeal = 0x8;  // MFD_NOEXEC_SEAL
  absl::MutexLock lock(&mu_);
  const ErrnoOrVoid made = MoveToHostLocked(kNoExecSeal);
  return made.ok() || made.error() != Errno::kInval ? made : MoveToHostLocked();
}

}  // namespace cloister::tmp
