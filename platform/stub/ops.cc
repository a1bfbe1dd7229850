// Operations that a stopped guest thread carries out on its own process for the sentry.

#include <asm/unistd.h>

#include "platform/stub/fp_layout.h"
#include "platform/stub/internal.h"
#include "platform/stub/patch.h"

namespace cloister::stub {
namespace {

constexpr long kEFault = 14;
constexpr long kEInval = 22;
constexpr long kEIntr = 4;
constexpr long kEIo = 5;
constexpr uint64_t kArchSetGs = 0x1001, kArchSetFs = 0x1002, kArchGetGs = 0x1004;  // asm/prctl.h
constexpr uint64_t kPage = 4096, kStackMargin = 1024;
constexpr uint64_t kDontNeed = 4;  // MADV_DONTNEED

_fpx_sw_bytes* SwBytes(uint8_t* fp) { return reinterpret_cast<_fpx_sw_bytes*>(fp + kSwReserved); }

uint8_t* FpState(const UContext* uc) { return reinterpret_cast<uint8_t*>(uc->mc.fpstate); }

long StoreFpState(const UContext* uc, uint64_t addr) {
  uint8_t* fp = FpState(uc);
  if (fp == nullptr) return -kEInval;
  const uint64_t bytes = FpStateBytes(uc);
  const bool whole = stub_copy(reinterpret_cast<void*>(addr), fp, bytes) == 0;
  return whole ? static_cast<long>(bytes) : -kEFault;
}

// True if the area at addr is a whole XSAVE area of our own size, as Linux' check_xstate_in_sigframe.
bool IsWholeXsave(uint64_t addr, const _fpx_sw_bytes& guest, uint64_t bytes) {
  if (guest.magic1 != FP_XSTATE_MAGIC1 || guest.extended_size != bytes) return false;
  uint32_t magic2 = 0;
  const auto* at = reinterpret_cast<const void*>(addr + bytes - FP_XSTATE_MAGIC2_SIZE);
  return stub_copy(&magic2, at, sizeof magic2) == 0 && magic2 == FP_XSTATE_MAGIC2;
}

// The frame's own size and magic fields stay; what the guest put there only says how much is taken.
long LoadFpState(UContext* uc, uint64_t addr) {
  uint8_t* fp = FpState(uc);
  if (fp == nullptr) return -kEInval;
  const uint64_t bytes = FpStateBytes(uc);
  const _fpx_sw_bytes own = *SwBytes(fp);
  const bool copied = stub_copy(fp, reinterpret_cast<const void*>(addr), kLegacyBytes) == 0;
  const _fpx_sw_bytes guest = *SwBytes(fp);
  *SwBytes(fp) = own;
  if (!copied) return -kEFault;
  if (bytes <= kLegacyBytes) return 0;
  if (IsWholeXsave(addr, guest, bytes)) {
    const uint64_t rest = bytes - kLegacyBytes - FP_XSTATE_MAGIC2_SIZE;
    const auto* from = reinterpret_cast<const void*>(addr + kLegacyBytes);
    return stub_copy(fp + kLegacyBytes, from, rest) == 0 ? 0 : -kEFault;
  }
  auto* header = reinterpret_cast<uint64_t*>(fp + kLegacyBytes);
  for (uint64_t i = 0; i < kHeaderBytes / sizeof *header; ++i) header[i] = 0;
  header[0] = kLegacyFeatures;
  return 0;
}

// An interrupt may come before the sentry has seen the call that it is to check.
long RunHostCall(const Op& op) {
  if (op.nr == __NR_arch_prctl && op.args[0] == kArchGetGs && stub_gs_is_ours()) {
    const uint64_t none = 0;
    return stub_copy(reinterpret_cast<void*>(op.args[1]), &none, sizeof none) == 0 ? 0 : -kEFault;
  }
  long result;
  do {
    result = stub_call(op.nr, op.args[0], op.args[1], op.args[2], op.args[3], op.args[4], op.args[5]);
  } while (result == -kEIntr);
  return result;
}

long ReadFile(const Op& op) {
  const long result = stub_call(__NR_pread64, op.args[0], op.args[1], op.args[2], op.args[3]);
  return result < 0 || static_cast<uint64_t>(result) == op.args[2] ? result : -kEIo;
}

// As a new process has it. Linux: fpstate_reset.
void ResetFpState(UContext* uc) {
  uint8_t* fp = FpState(uc);
  if (fp == nullptr) return;
  __builtin_memset(fp, 0, kSwReserved);
  const uint16_t control = kInitialControl;
  const uint32_t mxcsr = kInitialMxcsr;
  __builtin_memcpy(fp, &control, sizeof control);
  __builtin_memcpy(fp + kMxcsrOffset, &mxcsr, sizeof mxcsr);
  if (FpStateBytes(uc) > kLegacyBytes) __builtin_memset(fp + kLegacyBytes, 0, kHeaderBytes);
}

// Signal stacks below the frame that is in use: their pages become zeroes.
void ClearStacks(const Context* context) {
  const uint64_t slot = SlotOf(context);
  const auto here = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
  const uint64_t used = (here - kStackMargin) / kPage * kPage, next = StackAddress(slot + 1);
  stub_call(__NR_madvise, kStackBase, used - kStackBase, kDontNeed);
  stub_call(__NR_madvise, next, kStackBase + kStackRegionBytes - next, kDontNeed);
}

// All that was lent, to threads that have ended too, but what this one is to map now.
void EndLoans(const Context* context) {
  const uint64_t slot = SlotOf(context);
  if (slot > 0) stub_call(__NR_close_range, kFirstInjectedFd, static_cast<uint64_t>(LentFd(slot)) - 1, 0);
  stub_call(__NR_close_range, static_cast<uint64_t>(ReadFd(slot)), ~0u, 0);
}

long StartAfresh(Context* context, UContext* uc) {
  ResetFpState(uc);
  stub_call(__NR_arch_prctl, kArchSetFs, 0);
  stub_call(__NR_arch_prctl, kArchSetGs, reinterpret_cast<uint64_t>(context));
  InitPatchTable();
  EndLoans(context);
  ClearStacks(context);
  return 0;
}

long RunOp(Context* context, UContext* uc, const Op& op) {
  switch (op.kind) {
    case OpKind::kCall:
      return RunHostCall(op);
    case OpKind::kStoreFpState:
      return StoreFpState(uc, op.args[0]);
    case OpKind::kLoadFpState:
      return LoadFpState(uc, op.args[0]);
    case OpKind::kCompareExchange:
      return stub_cmpxchg(op.args[0], static_cast<uint32_t>(op.args[1]), static_cast<uint32_t>(op.args[2]));
    case OpKind::kFutex:
    case OpKind::kFutexWaitv:
      return RunFutexOp(context, uc, op);
    case OpKind::kReadFile:
      return ReadFile(op);
    case OpKind::kPatchCall:
      PatchCall(op.args[0]);
      return 0;
    case OpKind::kUnpatchCalls:
      UnpatchCalls();
      return 0;
    case OpKind::kStartAfresh:
      return StartAfresh(context, uc);
  }
  return -kEInval;
}

}  // namespace

uint64_t FpStateBytes(const UContext* uc) {
  uint8_t* fp = FpState(uc);
  if (fp == nullptr) return 0;
  const _fpx_sw_bytes* sw = SwBytes(fp);
  if (sw->magic1 != FP_XSTATE_MAGIC1) return kLegacyBytes;
  return sw->extended_size;
}

bool OpsNeedFrame(const Context* context) {
  const uint64_t count = context->op_count < kMaxOps ? context->op_count : kMaxOps;
  for (uint64_t i = 0; i < count; ++i) {
    const OpKind kind = context->ops[i].kind;
    if (kind == OpKind::kStoreFpState || kind == OpKind::kLoadFpState || kind == OpKind::kStartAfresh)
      return true;
  }
  return false;
}

long RunOps(Context* context, UContext* uc, uint64_t* run) {
  const uint64_t count = context->op_count < kMaxOps ? context->op_count : kMaxOps;
  long result = 0;
  for (uint64_t i = 0; i < count; ++i) {
    result = RunOp(context, uc, context->ops[i]);
    *run = i + 1;
    if (result < 0 && result >= -4095) break;
  }
  return result;
}

}  // namespace cloister::stub
