#ifndef CLOISTER_PLATFORM_INPROC_SPACE_H_
#define CLOISTER_PLATFORM_INPROC_SPACE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/own/ref.h"
#include "platform/api/address_space.h"
#include "platform/api/host_op.h"

namespace cloister::inproc {

inline constexpr uint64_t kTaskSize = uint64_t{1} << 30;
inline constexpr uint64_t kPageSize = 4096;

// A guest's memory: a reserved range of this process, guest address 0 at its start. What the guest
// may do with a page stands in a list; for this process mapped pages are always accessible. Thread-safe.
class Space final : public platform::AddressSpace {
 public:
  // Aborts if the range cannot be reserved.
  Space();
  ~Space() override;

  size_t Read(uint64_t addr, std::span<std::byte> dst) override ABSL_LOCKS_EXCLUDED(mu_);
  size_t Write(uint64_t addr, std::span<const std::byte> src) override ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t CpuTimeNs() const override { return 0; }

  // One operation on memory (not ArchPrctl, nor FP state): its result, or a negative errno.
  int64_t Run(const platform::HostOp& op) ABSL_LOCKS_EXCLUDED(mu_);

  // fork(2): private pages copied, shared ones shared.
  Ref<Space> Fork() ABSL_LOCKS_EXCLUDED(mu_);

  // For tests: PROT_… of the page at addr, or -1.
  int ProtectionAt(uint64_t addr) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Per page: PROT_… bits, and these.
  static constexpr uint8_t kMapped = 0x80;
  static constexpr uint8_t kShared = 0x40;

  std::byte* At(uint64_t addr) const { return base_ + addr; }
  // Bytes from addr on, at most size, on pages that are mapped with prot.
  size_t Accessible(uint64_t addr, size_t size, int prot) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AllMapped(uint64_t addr, uint64_t length) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Mark(uint64_t addr, uint64_t length, uint8_t page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes the range inaccessible, as it was in the beginning.
  int64_t Reserve(uint64_t addr, uint64_t length) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int64_t Mmap(const platform::HostOp& op) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int64_t Mremap(const platform::HostOp& op) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int64_t CompareExchange(const platform::HostOp& op) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  std::byte* base_ = nullptr;
  mutable absl::Mutex mu_;  // leaf; a child's below its parent's
  std::vector<uint8_t> pages_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cloister::inproc

#endif  // CLOISTER_PLATFORM_INPROC_SPACE_H_
