// Syscalls that concern the guest alone, answered without the sentry.

#include <asm/unistd.h>

#include "platform/stub/internal.h"

namespace cloister::stub {
namespace {

constexpr long kEFault = 14;
constexpr int kSigBlock = 0, kSigUnblock = 1, kSigSetMask = 2;
constexpr uint64_t kUnblockable = (1ul << (9 - 1)) | (1ul << (19 - 1));  // SIGKILL, SIGSTOP
constexpr uint64_t kMaskBytes = 8;
constexpr uint64_t kRobustListBytes = 24;
constexpr uint64_t kDontNeed = 4, kFree = 8;  // MADV_…
constexpr uint64_t kPage = 4096;

uint64_t Load(const uint64_t* word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
void Store(uint64_t* word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }

// False: the sentry is to do it.
bool Sigprocmask(Quick* quick, const sigcontext& mc, long* result) {
  if (mc.r10 != kMaskBytes || Load(&quick->held) != 0) return false;
  const uint64_t old = Load(&quick->signal_mask);
  *result = 0;
  if (mc.rsi != 0) {
    uint64_t set;
    if (stub_copy(&set, reinterpret_cast<const void*>(mc.rsi), sizeof set) != 0) {
      *result = -kEFault;
      return true;
    }
    const int how = static_cast<int>(mc.rdi);
    if (how != kSigBlock && how != kSigUnblock && how != kSigSetMask) return false;
    const uint64_t next = how == kSigBlock ? old | set : how == kSigUnblock ? old & ~set : set;
    Store(&quick->signal_mask, next & ~kUnblockable);
    // A signal came meanwhile: whoever sent it saw the old mask or the new one, and it is looked for
    // again when the sentry changes it.
    if (Load(&quick->held) != 0) {
      Store(&quick->signal_mask, old);
      return false;
    }
  }
  if (mc.rdx != 0 && stub_copy(reinterpret_cast<void*>(mc.rdx), &old, sizeof old) != 0) *result = -kEFault;
  return true;
}

bool Madvise(const sigcontext& mc, long* result) {
  if (mc.rdx != kDontNeed && mc.rdx != kFree) return false;
  if (mc.rdi % kPage != 0 || mc.rdi >= kImageBase || mc.rsi > kImageBase - mc.rdi) return false;
  *result = stub_call(__NR_madvise, mc.rdi, mc.rsi, mc.rdx);
  return true;
}

}  // namespace

bool AnswerQuickly(Context* context, int number, UContext* uc) {
  Quick* quick = &context->quick;
  const uint64_t calls = Load(&quick->calls);
  sigcontext& mc = uc->mc;
  long result = 0;
  if (number == __NR_rt_sigprocmask && (calls & kQuickSignalMask) != 0) {
    if (!Sigprocmask(quick, mc, &result)) return false;
  } else if (number == __NR_madvise && (calls & kQuickAdvise) != 0) {
    if (!Madvise(mc, &result)) return false;
  } else if (number == __NR_set_robust_list && (calls & kQuickRobustList) != 0 &&
             mc.rsi == kRobustListBytes) {
    Store(&quick->robust_list, mc.rdi);
  } else {
    return false;
  }
  mc.rax = static_cast<uint64_t>(result);
  return true;
}

}  // namespace cloister::stub
