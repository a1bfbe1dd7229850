#include "platform/systrap/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/error/status.h"
#include "base/log/log.h"

namespace cloister::systrap {

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

void Arena::Give(uint32_t space) {
  if (madvise(base_ + Offset(space), stub::kContextRegionBytes, MADV_REMOVE) != 0) {
    // Better a stride lost than a guest that reads another's registers.
    LOG(kError, "context pages of a dead process could not be freed: %s", HostErrorNow("madvise").message());
    return;
  }
  absl::MutexLock lock(&mu_);
  free_.push_back(space);
}

}  // namespace cloister::systrap
