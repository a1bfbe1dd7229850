#ifndef CLOISTER_PLATFORM_SYSTRAP_PROGRAM_MEMORY_H_
#define CLOISTER_PLATFORM_SYSTRAP_PROGRAM_MEMORY_H_

#include <atomic>

#include "platform/systrap/space.h"

namespace cloister::systrap {

// The memory of a host process for as long as it runs one program. Whoever still holds it when another
// program has begun there reaches nothing. Thread-safe.
class ProgramMemory final : public platform::AddressSpace {
 public:
  explicit ProgramMemory(Ref<Space> space) : space_(std::move(space)) {}

  size_t Read(uint64_t addr, std::span<std::byte> dst) override {
    return ended_.load(std::memory_order_acquire) ? 0 : space_->Read(addr, dst);
  }
  size_t Write(uint64_t addr, std::span<const std::byte> src) override {
    return ended_.load(std::memory_order_acquire) ? 0 : space_->Write(addr, src);
  }
  uint64_t CpuTimeNs() const override {
    return ended_.load(std::memory_order_acquire) ? 0 : space_->CpuTimeNs();
  }

  void End() { ended_.store(true, std::memory_order_release); }

 private:
  const Ref<Space> space_;
  std::atomic<bool> ended_{false};
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_PROGRAM_MEMORY_H_
