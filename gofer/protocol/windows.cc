#include "gofer/protocol/windows.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "base/error/status.h"
#include "base/host/host_stat.h"
#include "gofer/protocol/limits.h"

namespace cloister::gofer {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

absl::StatusOr<std::byte*> MapAll(int memory, uint32_t count) {
  void* const start = mmap(nullptr, count * kWindowBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (start == MAP_FAILED) return HostErrorNow("mmap of the gofer's windows");
  return static_cast<std::byte*>(start);
}

}  // namespace

absl::StatusOr<std::shared_ptr<Windows>> Windows::Make(uint32_t count) {
  UniqueFd memory(memfd_create("cloister-gofer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.ok()) return HostErrorNow("memfd_create for the gofer's windows");
  if (ftruncate(memory.get(), static_cast<off_t>(count * kWindowBytes)) < 0) return HostErrorNow("ftruncate");
  if (fcntl(memory.get(), F_ADD_SEALS, kSeals) < 0) return HostErrorNow("seals");
  std::byte* const start = TRY_STATUS(MapAll(memory.get(), count));
  return std::shared_ptr<Windows>(new Windows(std::move(memory), start, count));
}

absl::StatusOr<std::shared_ptr<Windows>> Windows::Map(UniqueFd memory, uint32_t count) {
  const int seals = fcntl(memory.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return absl::InvalidArgumentError("the gofer's windows are not sealed");
  }
  struct stat info;
  if (HostStat(memory.get(), &info) < 0) return HostErrorNow("fstat of the gofer's windows");
  if (static_cast<uint64_t>(info.st_size) != count * kWindowBytes) {
    return absl::InvalidArgumentError("the gofer's windows have a wrong size");
  }
  std::byte* const start = TRY_STATUS(MapAll(memory.get(), count));
  return std::shared_ptr<Windows>(new Windows(UniqueFd(), start, count));
}

Windows::~Windows() { munmap(start_, count_ * kWindowBytes); }

std::span<std::byte> Windows::At(uint32_t index) const {
  return std::span(start_ + index * kWindowBytes, kWindowBytes);
}

}  // namespace cloister::gofer
