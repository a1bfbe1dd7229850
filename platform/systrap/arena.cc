#include "platform/systrap/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error/status.h"
#include "base/log/log.h"

namespace cloister::systrap {
namespace {

constexpr off_t kFewBytes = 64 << 10;
constexpr uint32_t kKeptStrides = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<Arena>> Arena::Create(uint32_t spaces) {
  const uint64_t bytes = spaces * stub::kContextRegionBytes;
  UniqueFd fd(memfd_create("cloister-contexts", MFD_CLOEXEC));
  if (!fd.ok()) return HostErrorNow("memfd_create for context pages");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) return HostErrorNow("ftruncate of context pages");
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (base == MAP_FAILED) return HostErrorNow("mmap of context pages");
  madvise(base, bytes, MADV_DONTDUMP);
  return std::unique_ptr<Arena>(new Arena(std::move(fd), static_cast<char*>(base), spaces));
}

Arena::~Arena() { munmap(base_, spaces_ * stub::kContextRegionBytes); }

ErrnoOr<uint32_t> Arena::Take() {
  absl::MutexLock lock(&mu_);
  if (!free_.empty()) {
    const uint32_t space = free_.back();
    free_.pop_back();
    return space;
  }
  if (fresh_ == spaces_) return Errno::kAgain;
  return fresh_++;
}

// False: there is too much to be cleared, or the host does not tell where it is.
bool Arena::ClearFew(uint32_t space) {
  if (space >= kKeptStrides) return false;
  const auto end = static_cast<off_t>(Offset(space) + stub::kContextRegionBytes);
  auto at = static_cast<off_t>(Offset(space));
  off_t left = kFewBytes;
  while (at < end) {
    const off_t data = lseek(fd_.get(), at, SEEK_DATA);
    if (data < 0) return errno == ENXIO;
    if (data >= end) return true;
    const off_t hole = std::min(lseek(fd_.get(), data, SEEK_HOLE), end);
    if (hole <= data || hole - data > left) return false;
    memset(base_ + data, 0, static_cast<size_t>(hole - data));
    left -= hole - data;
    at = hole;
  }
  return true;
}

void Arena::Give(uint32_t space) {
  if (!ClearFew(space) && madvise(base_ + Offset(space), stub::kContextRegionBytes, MADV_REMOVE) != 0) {
    // Better a stride lost than a guest that reads another's registers.
    LOG(kError, "context pages of a dead process could not be freed: %s", HostErrorNow("madvise").message());
    return;
  }
  absl::MutexLock lock(&mu_);
  free_.push_back(space);
}

}  // namespace cloister::systrap
