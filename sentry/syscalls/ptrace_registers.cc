#include "sentry/syscalls/ptrace_registers.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace cloister::syscalls {
namespace {

using platform::Registers;

constexpr uint64_t kTaskSizeMax = 0x7ffffffff000;
constexpr uint64_t kUserCs = 0x33, kUserSs = 0x2b;
// Linux: FLAG_MASK. CF PF AF ZF SF TF DF OF NT RF AC.
constexpr uint64_t kSettableFlags = 0x54dd5 | 0x10000;

// Offsets within the FXSAVE image and behind it.
constexpr size_t kMxcsr = 24, kMxcsrMask = 28, kPadding = 416, kSoftware = 464, kLegacy = 512;
constexpr size_t kHeaderSize = 64;
constexpr uint32_t kMxcsrDefaultMask = 0xffbf;
constexpr uint64_t kFpAndSse = 3;

// What the host wrote into the bytes that are left to software. Linux: struct _fpx_sw_bytes.
struct Software {
  uint32_t magic;  // FP_XSTATE_MAGIC1 where there is more than the FXSAVE image
  uint32_t extended_size;
  uint64_t features;
  uint32_t xstate_size;
};
constexpr uint32_t kMagic = 0x46505853;

template <typename T>
T At(std::span<const std::byte> bytes, size_t offset) {
  T value = {};
  if (offset + sizeof value <= bytes.size()) std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Software SoftwareOf(std::span<const std::byte> fp) {
  Software software = At<Software>(fp, kSoftware);
  if (software.magic != kMagic || software.xstate_size < kLegacy + kHeaderSize ||
      software.xstate_size > fp.size()) {
    software = {0, kLegacy, kFpAndSse, kLegacy};
  }
  return software;
}

bool IsMxcsrGood(std::span<const std::byte> wanted, std::span<const std::byte> fp) {
  const auto mask = At<uint32_t>(fp, kMxcsrMask);
  return (At<uint32_t>(wanted, kMxcsr) & ~(mask != 0 ? mask : kMxcsrDefaultMask)) == 0;
}

}  // namespace

user_regs_struct ShowRegisters(const Registers& regs, const task::ExtraRegisters& extra) {
  user_regs_struct shown = regs;
  shown.cs = kUserCs;
  shown.ss = kUserSs;
  shown.ds = shown.es = shown.fs = shown.gs = 0;
  shown.fs_base = extra.fs_base;
  shown.gs_base = extra.gs_base;
  return shown;
}

ErrnoOrVoid TakeRegisters(const user_regs_struct& wanted, Registers* regs, task::ExtraRegisters* extra) {
  const bool flat = wanted.cs == kUserCs && wanted.ss == kUserSs && wanted.ds == 0 && wanted.es == 0 &&
                    wanted.fs == 0 && wanted.gs == 0;
  if (!flat || wanted.fs_base >= kTaskSizeMax || wanted.gs_base >= kTaskSizeMax) return Errno::kIo;
  const Registers before = *regs;
  *regs = wanted;
  regs->cs = before.cs;
  regs->ss = before.ss;
  regs->fs_base = before.fs_base;
  regs->gs_base = before.gs_base;
  regs->eflags = (before.eflags & ~kSettableFlags) | (wanted.eflags & kSettableFlags);
  extra->fs_base = wanted.fs_base;
  extra->gs_base = wanted.gs_base;
  return {};
}

std::vector<std::byte> ShowFpRegisters(std::span<const std::byte> fp) {
  std::vector<std::byte> shown(kLegacy);
  std::copy_n(fp.begin(), std::min(fp.size(), kPadding), shown.begin());
  return shown;
}

// Debuggers find the mask of features (XCR0) where the software's bytes begin.
std::vector<std::byte> ShowXstate(std::span<const std::byte> fp) {
  const Software software = SoftwareOf(fp);
  std::vector<std::byte> shown = ShowFpRegisters(fp);
  std::memcpy(shown.data() + kSoftware, &software.features, sizeof software.features);
  shown.insert(shown.end(), fp.begin() + kLegacy, fp.begin() + software.xstate_size);
  return shown;
}

ErrnoOrVoid TakeFpRegisters(std::span<const std::byte> wanted, std::vector<std::byte>* fp) {
  if (wanted.size() != kLegacy || !IsMxcsrGood(wanted, *fp)) return Errno::kInval;
  std::copy_n(wanted.begin(), kPadding, fp->begin());
  if (SoftwareOf(*fp).magic != kMagic) return {};
  const uint64_t features = At<uint64_t>(*fp, kLegacy) | kFpAndSse;
  std::memcpy(fp->data() + kLegacy, &features, sizeof features);
  return {};
}

// Linux: validate_user_xstate_header.
ErrnoOrVoid TakeXstate(std::span<const std::byte> wanted, std::vector<std::byte>* fp) {
  const Software software = SoftwareOf(*fp);
  if (wanted.size() != software.xstate_size) return Errno::kFault;
  if (software.magic == kMagic) {
    if (At<uint64_t>(wanted, kLegacy) & ~software.features) return Errno::kInval;
    const auto rest = wanted.subspan(kLegacy + sizeof(uint64_t), kHeaderSize - sizeof(uint64_t));
    if (std::any_of(rest.begin(), rest.end(), [](std::byte b) { return b != std::byte{0}; }))
      return Errno::kInval;
  }
  if (!IsMxcsrGood(wanted, *fp)) return Errno::kInval;
  std::copy_n(wanted.begin(), kPadding, fp->begin());
  std::copy(wanted.begin() + kLegacy, wanted.end(), fp->begin() + kLegacy);
  return {};
}

}  // namespace cloister::syscalls
