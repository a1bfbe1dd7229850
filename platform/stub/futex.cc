// futex(2) by the host: a word of the guest's memory is the same word there. The host thread sleeps as the
// guest's thread would; an interrupt by the sentry ends the sleep.

#include <asm/unistd.h>
#include <linux/futex.h>
#include <linux/time_types.h>

#include "platform/stub/internal.h"

namespace cloister::stub {
namespace {

constexpr long kEIntr = 4;
constexpr int kSigBlock = 0, kSigUnblock = 1;
constexpr uint64_t kNoDeadline = ~0ul >> 1;  // HostOp::kNoDeadline
constexpr uint64_t kNsPerSecond = 1'000'000'000;

// In the words of struct robust_list_head, linux/futex.h.
constexpr int kRobustNext = 0, kRobustPending = 2;

bool Waits(int op) {
  const int command = op & FUTEX_CMD_MASK;
  return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
}

bool IsOwnerless(int op) {
  switch (op & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAKE:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAKE_BITSET:
      return true;
    default:
      return false;
  }
}

void SetInterruptMask(int how) {
  const uint64_t mask = 1ul << (kInterruptSignal - 1);
  stub_call(__NR_rt_sigprocmask, static_cast<uint64_t>(how), reinterpret_cast<uint64_t>(&mask), 0,
            sizeof mask);
}

// -EINTR: by the sentry, whose reason it will find. A signal handler blocks its interrupts: uc, or null.
long Sleep(Context* context, const UContext* uc, uint64_t nr, const uint64_t* args) {
  __atomic_store_n(&context->asleep, 1, __ATOMIC_RELAXED);
  if (uc != nullptr) SetInterruptMask(kSigUnblock);
  const long result = stub_sleep(context, nr, args);
  if (uc != nullptr) SetInterruptMask(kSigBlock);
  __atomic_store_n(&context->asleep, 0, __ATOMIC_RELAXED);
  if (result == -kEIntr) __atomic_store_n(&context->interrupted, 0, __ATOMIC_SEQ_CST);
  return result;
}

}  // namespace

bool FutexQuickly(Context* context, const UContext* uc, long* result) {
  const user_regs_struct& regs = context->regs;
  const uint64_t args[] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
  const int op = static_cast<int>(regs.rsi);
  if (regs.orig_rax == __NR_futex && !IsOwnerless(op)) return false;
  if (regs.orig_rax == __NR_futex && !Waits(op)) {
    *result = stub_call(__NR_futex, args[0], args[1], args[2], args[3], args[4], args[5]);
    return true;
  }
  // A relative timeout would begin anew after an interrupt.
  if (regs.orig_rax == __NR_futex && (op & FUTEX_CMD_MASK) == FUTEX_WAIT && regs.r10 != 0) return false;
  *result = Sleep(context, uc, regs.orig_rax, args);
  return *result != -kEIntr;
}

long RunFutexOp(Context* context, const UContext* uc, const Op& op) {
  if (op.kind == OpKind::kFutexWaitv) return Sleep(context, uc, __NR_futex_waitv, op.args);
  uint64_t args[] = {op.args[0], op.args[1], op.args[2], op.args[3], op.args[4], op.args[5]};
  if (!Waits(static_cast<int>(args[1]))) {
    return stub_call(__NR_futex, args[0], args[1], args[2], args[3], args[4], args[5]);
  }
  const __kernel_timespec until = {static_cast<long long>(op.args[3] / kNsPerSecond),
                                   static_cast<long long>(op.args[3] % kNsPerSecond)};
  args[3] = op.args[3] == kNoDeadline ? 0 : reinterpret_cast<uint64_t>(&until);
  return Sleep(context, uc, __NR_futex, args);
}

// Linux: exit_robust_list, which is the sentry's unless the list is empty, and mm_release.
void LeaveFutexes(Context* context) {
  Quick* quick = &context->quick;
  if ((__atomic_load_n(&quick->calls, __ATOMIC_SEQ_CST) & kQuickFutex) == 0) return;
  if (quick->robust_list != 0) {
    uint64_t head[3];
    if (stub_copy(head, reinterpret_cast<const void*>(quick->robust_list), sizeof head) != 0) return;
    if (head[kRobustNext] != quick->robust_list || head[kRobustPending] != 0) return;
  }
  quick->robust_list = 0;
  const uint64_t tid_word = quick->clear_child_tid;
  quick->clear_child_tid = 0;
  const uint32_t none = 0;
  if (tid_word == 0 || stub_copy(reinterpret_cast<void*>(tid_word), &none, sizeof none) != 0) return;
  stub_call(__NR_futex, tid_word, FUTEX_WAKE, 1);
}

}  // namespace cloister::stub
