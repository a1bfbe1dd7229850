// Syscalls that concern the guest alone, answered without the sentry.

#include <asm/unistd.h>

#include "platform/stub/internal.h"

namespace cloister::stub {
namespace {

constexpr long kEFault = 14, kENoSys = 38;
constexpr int kSigBlock = 0, kSigUnblock = 1, kSigSetMask = 2;
constexpr uint64_t kUnblockable = (1ul << (9 - 1)) | (1ul << (19 - 1));  // SIGKILL, SIGSTOP
constexpr uint64_t kMaskBytes = 8;
constexpr uint64_t kRobustListBytes = 24;
constexpr uint64_t kDontNeed = 4, kFree = 8;  // MADV_…
constexpr uint64_t kPage = 4096;
constexpr uint64_t kArchSetFs = 0x1002;  // asm/prctl.h

uint64_t Load(const uint64_t* word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
void Store(uint64_t* word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }

// False: the sentry is to do it.
bool Sigprocmask(Quick* quick, const user_regs_struct& regs, long* result) {
  if (regs.r10 != kMaskBytes || Load(&quick->held) != 0) return false;
  const uint64_t old = Load(&quick->signal_mask);
  *result = 0;
  if (regs.rsi != 0) {
    uint64_t set;
    if (stub_copy(&set, reinterpret_cast<const void*>(regs.rsi), sizeof set) != 0) {
      *result = -kEFault;
      return true;
    }
    const int how = static_cast<int>(regs.rdi);
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
  if (regs.rdx != 0 && stub_copy(reinterpret_cast<void*>(regs.rdx), &old, sizeof old) != 0)
    *result = -kEFault;
  return true;
}

bool Madvise(const user_regs_struct& regs, long* result) {
  if (regs.rdx != kDontNeed && regs.rdx != kFree) return false;
  if (regs.rdi % kPage != 0 || regs.rdi < kPatchBase + kPatchBytes || regs.rdi >= kImageBase ||
      regs.rsi > kImageBase - regs.rdi)
    return false;
  *result = stub_call(__NR_madvise, regs.rdi, regs.rsi, regs.rdx);
  return true;
}

bool AnswerId(const Quick& quick, uint64_t nr, long* result) {
  switch (nr) {
    case __NR_getpid:
      *result = quick.pid;
      return true;
    case __NR_gettid:
      *result = quick.tid;
      return true;
    case __NR_getppid:
      *result = __atomic_load_n(&quick.parent_pid, __ATOMIC_RELAXED);
      return true;
    case __NR_getuid:
      *result = quick.uid;
      return true;
    case __NR_geteuid:
      *result = quick.euid;
      return true;
    case __NR_getgid:
      *result = quick.gid;
      return true;
    case __NR_getegid:
      *result = quick.egid;
      return true;
    default:
      return false;
  }
}

bool AnswerCall(Context* context, const UContext* uc, uint64_t nr, uint64_t calls, long* result) {
  const user_regs_struct& regs = context->regs;
  switch (nr) {
    case __NR_rt_sigprocmask:
      return (calls & kQuickSignalMask) != 0 && Sigprocmask(&context->quick, regs, result);
    case __NR_madvise:
      return (calls & kQuickAdvise) != 0 && Madvise(regs, result);
    case __NR_futex:
    case __NR_futex_waitv:
      return (calls & kQuickFutex) != 0 && FutexQuickly(context, uc, result);
    case __NR_set_robust_list:
      if ((calls & kQuickRobustList) == 0 || regs.rsi != kRobustListBytes) return false;
      Store(&context->quick.robust_list, regs.rdi);
      *result = 0;
      return true;
    case __NR_set_tid_address:
      if ((calls & kQuickTidAddress) == 0) return false;
      Store(&context->quick.clear_child_tid, regs.rdi);
      *result = context->quick.tid;
      return true;
    case __NR_arch_prctl:
      if ((calls & kQuickSetFs) == 0 || regs.rdi != kArchSetFs || regs.rsi >= kImageBase) return false;
      *result = stub_call(__NR_arch_prctl, kArchSetFs, regs.rsi);
      return true;
    case __NR_rseq:
      if ((calls & kQuickRseq) == 0) return false;
      Store(&context->quick.refused_rseq, 1);
      *result = -kENoSys;
      return true;
    case __NR_sched_yield:
      if ((calls & kQuickYield) == 0) return false;
      *result = stub_call(__NR_sched_yield);
      return true;
    default:
      return false;
  }
}

}  // namespace

bool AnswerQuickly(Context* context, const UContext* uc) {
  const Quick* quick = &context->quick;
  const uint64_t calls = Load(&quick->calls);
  const uint64_t nr = context->regs.orig_rax;
  long result = 0;
  if ((calls & kQuickIds) != 0 && AnswerId(*quick, nr, &result)) {
    context->regs.rax = static_cast<uint64_t>(result);
    return true;
  }
  if (!AnswerCall(context, uc, nr, calls, &result)) return false;
  context->regs.rax = static_cast<uint64_t>(result);
  return true;
}

}  // namespace cloister::stub
