#ifndef CLOISTER_PLATFORM_PTRACE_SPACE_H_
#define CLOISTER_PLATFORM_PTRACE_SPACE_H_

#include "platform/api/address_space.h"
#include "platform/process/memory.h"

namespace cloister::ptrace {

// The memory of one program. Thread-safe.
class Space final : public platform::AddressSpace {
 public:
  size_t Read(uint64_t addr, std::span<std::byte> dst) override { return memory_.Read(addr, dst); }
  size_t Write(uint64_t addr, std::span<const std::byte> src) override { return memory_.Write(addr, src); }
  uint64_t CpuTimeNs() const override { return memory_.CpuTimeNs(); }

  // The host processes that run on it.
  process::Memory& memory() { return memory_; }

 private:
  process::Memory memory_;
};

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_SPACE_H_
