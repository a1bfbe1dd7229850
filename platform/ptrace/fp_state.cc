#include "platform/ptrace/fp_state.h"

#include <cpuid.h>
#include <elf.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "platform/stub/fp_layout.h"

namespace cloister::ptrace {
namespace {

using stub::kHeaderBytes;
using stub::kInitialControl;
using stub::kInitialMxcsr;
using stub::kLegacyBytes;
using stub::kLegacyFeatures;
using stub::kMxcsrOffset;
using stub::kSwReserved;

constexpr size_t kMostBytes = 16384;               // of any register set
constexpr uint64_t kTileData = uint64_t{1} << 18;  // AMX: after a permission only
constexpr unsigned kXsaveLeaf = 0xd;
constexpr unsigned kOsXsave = 1u << 27;  // of CPUID 1, ECX

// What the host's kernel saves of the processor; 0 where there is no XSAVE.
uint64_t Features() {
  unsigned a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kOsXsave) == 0) return 0;
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32 | low) & ~kTileData;
}

size_t AreaBytes(uint64_t features) {
  if (features == 0) return kLegacyBytes;
  size_t bytes = kLegacyBytes + kHeaderBytes;
  for (unsigned i = 2; i < 63; ++i) {
    if ((features >> i & 1) == 0) continue;
    unsigned size, offset, c, d;
    __cpuid_count(kXsaveLeaf, i, size, offset, c, d);
    bytes = std::max<size_t>(bytes, size_t{offset} + size);
  }
  return bytes;
}

struct Layout {
  const uint64_t features = Features();
  const size_t area_bytes = AreaBytes(features);
  const int regset = features != 0 ? NT_X86_XSTATE : NT_PRFPREG;
};

const Layout& HostLayout() {
  static const Layout* const layout = new Layout;
  return *layout;
}

template <typename T>
void Put(std::span<std::byte> area, size_t at, const T& value) {
  memcpy(area.data() + at, &value, sizeof value);
}

// Whether a whole area of the host's own size is there. Linux: check_xstate_in_sigframe.
bool IsWholeXsave(const _fpx_sw_bytes& sw, Space& space, uint64_t addr) {
  if (HostLayout().features == 0 || sw.magic1 != FP_XSTATE_MAGIC1 || sw.extended_size != FpFrameBytes())
    return false;
  uint32_t magic2 = 0;
  const auto bytes = std::as_writable_bytes(std::span(&magic2, 1));
  return space.Read(addr + HostLayout().area_bytes, bytes) == sizeof magic2 && magic2 == FP_XSTATE_MAGIC2;
}

// The host takes a whole register set only, which may be longer than ours.
int SetArea(Tracee tracee, std::span<const std::byte> area) {
  std::vector<std::byte> whole(kMostBytes);
  size_t bytes = 0;
  if (const int failed = tracee.GetRegset(HostLayout().regset, whole, &bytes); failed != 0) return failed;
  whole.resize(bytes);
  std::fill(whole.begin(), whole.end(), std::byte{0});
  std::copy_n(area.begin(), std::min(area.size(), whole.size()), whole.begin());
  return tracee.SetRegset(HostLayout().regset, whole);
}

}  // namespace

size_t FpFrameBytes() {
  const Layout& layout = HostLayout();
  return layout.area_bytes + (layout.features != 0 ? sizeof(uint32_t) : 0);
}

std::optional<std::vector<std::byte>> GetFpFrame(Tracee tracee) {
  const Layout& layout = HostLayout();
  std::vector<std::byte> frame(kMostBytes);
  size_t bytes = 0;
  if (tracee.GetRegset(layout.regset, frame, &bytes) != 0) return std::nullopt;
  frame.resize(FpFrameBytes());
  if (layout.features == 0) return frame;
  _fpx_sw_bytes sw = {};
  sw.magic1 = FP_XSTATE_MAGIC1;
  sw.extended_size = static_cast<uint32_t>(frame.size());
  sw.xstate_bv = layout.features;
  sw.xstate_size = static_cast<uint32_t>(layout.area_bytes);
  Put(frame, kSwReserved, sw);
  uint64_t present;
  memcpy(&present, frame.data() + kLegacyBytes, sizeof present);
  Put(frame, kLegacyBytes, present & layout.features);
  Put(frame, layout.area_bytes, uint32_t{FP_XSTATE_MAGIC2});
  return frame;
}

FpLoad LoadFpFrame(Tracee tracee, Space& space, uint64_t addr) {
  const Layout& layout = HostLayout();
  std::vector<std::byte> area(layout.area_bytes);
  if (space.Read(addr, std::span(area).first(kLegacyBytes)) != kLegacyBytes) return FpLoad::kUnreadable;
  _fpx_sw_bytes sw;
  memcpy(&sw, area.data() + kSwReserved, sizeof sw);
  if (IsWholeXsave(sw, space, addr)) {
    const std::span<std::byte> rest = std::span(area).subspan(kLegacyBytes);
    if (space.Read(addr + kLegacyBytes, rest) != rest.size()) return FpLoad::kUnreadable;
  } else if (layout.features != 0) {
    Put(area, kLegacyBytes, kLegacyFeatures);
  }
  const int failed = SetArea(tracee, area);
  return failed == 0 || failed == ESRCH ? FpLoad::kDone : FpLoad::kBad;
}

void ResetFp(Tracee tracee) {
  std::vector<std::byte> area(HostLayout().area_bytes);
  Put(area, 0, kInitialControl);
  Put(area, kMxcsrOffset, kInitialMxcsr);
  SetArea(tracee, area);
}

}  // namespace cloister::ptrace
