// New threads and processes, made by a stopped guest thread.

#include <asm/unistd.h>

#include "platform/stub/internal.h"

namespace cloister::stub {
namespace {

constexpr int kProtReadWrite = 3;
constexpr int kMapSharedFixed = 0x11;
constexpr uint64_t kArchSetGs = 0x1001, kArchSetFs = 0x1002, kArchGetGs = 0x1004;  // asm/prctl.h
constexpr uint64_t kFrameHead = 8;  // the return address below the ucontext

long HostClone(const Clone& clone, uint64_t stack, uint64_t slot) {
  return stub_call(__NR_clone, clone.flags, stack, clone.parent_tid, ContextAddress(slot) + kAliveOffset,
                   clone.tls, clone.token);
}

// Copies the parent's signal frame, with its FP state, to the same place of the child's stack.
UContext* CopyFrame(UContext* uc, uint64_t slot, uint64_t child_slot) {
  const uint64_t delta = (child_slot - slot) * kStackBytes;
  const uint64_t begin = reinterpret_cast<uint64_t>(uc) - kFrameHead;
  const uint64_t fp = reinterpret_cast<uint64_t>(uc->mc.fpstate);
  const uint64_t end = fp + FpStateBytes(uc);
  const uint64_t limit = StackAddress(slot) + kStackBytes;
  if (fp < begin || end > limit || end < fp) return nullptr;
  __builtin_memcpy(reinterpret_cast<void*>(begin + delta), reinterpret_cast<void*>(begin), end - begin);
  auto* child = reinterpret_cast<UContext*>(reinterpret_cast<uint64_t>(uc) + delta);
  child->mc.fpstate = reinterpret_cast<decltype(child->mc.fpstate)>(fp + delta);
  child->stack.sp = StackAddress(child_slot);
  child->stack.size = kStackBytes;
  return child;
}

long CloneShared(const Clone& clone, UContext* uc, uint64_t slot) {
  if (clone.child_slot >= kSlots) Die();
  UContext* child = CopyFrame(uc, slot, clone.child_slot);
  if (child == nullptr) Die();
  LoadRegisters(child, &clone.child_regs);
  auto* launch = reinterpret_cast<uint64_t*>(LaunchAddress(clone.child_slot));
  launch[0] = reinterpret_cast<uint64_t>(&stub_thread_entry);
  launch[1] = reinterpret_cast<uint64_t>(child);
  launch[2] = clone.says_hello != 0 ? clone.token : 0;
  return HostClone(clone, reinterpret_cast<uint64_t>(launch), clone.child_slot);
}

// Makes the child of a thread that sleeps in the doorbell of its exit: the FP state of this one goes into its
// frame, the registers it finds in its page.
long CloneOntoIdle(const Clone& clone, const UContext* uc) {
  if (clone.child_slot >= kSlots) Die();
  auto* child = reinterpret_cast<Context*>(ContextAddress(clone.child_slot));
  const auto* frame = reinterpret_cast<const UContext*>(child->frame);
  __builtin_memcpy(frame->mc.fpstate, uc->mc.fpstate, FpStateBytes(uc));
  child->fs_base = clone.tls;
  child->gs_base = ContextAddress(clone.child_slot);
  if (!stub_gs_is_ours()) {
    stub_call(__NR_arch_prctl, kArchGetGs, reinterpret_cast<uint64_t>(&child->gs_base));
  }
  __atomic_store_n(&child->adopted, 1, __ATOMIC_RELEASE);
  return 1;
}

// In the forked child, on its own copy of the stack: the context region still is the parent's.
// Returns whether it has to report before it runs.
bool StartFork(Context* context, const Clone& clone, UContext* uc) {
  const long at = stub_call(__NR_mmap, kContextBase, kContextRegionBytes, kProtReadWrite,
                            kMapSharedFixed | clone.token << kTokenShift, kArenaFd, clone.arena_offset);
  if (at != static_cast<long>(kContextBase)) Die();
  // What the sentry had lent to other threads of the parent is not for this process.
  stub_call(__NR_close_range, kFirstInjectedFd, ~0u, 0);
  context->keeps = 0;
  LoadRegisters(uc, context->runs_at_birth != 0 ? &context->regs : &clone.child_regs);
  return clone.child_stops != 0 && context->runs_at_birth == 0;
}

}  // namespace

// Where the parent's application has taken GS, its child has it as well.
extern "C" [[noreturn]] void stub_thread_start(UContext* uc, uint64_t token) {
  const uint64_t slot = (reinterpret_cast<uint64_t>(uc) - kStackBase) / kStackBytes;
  auto* context = reinterpret_cast<Context*>(ContextAddress(slot));
  if (stub_gs_is_ours()) stub_call(__NR_arch_prctl, kArchSetGs, ContextAddress(slot));
  if (token != 0 && Ring(Event::kHello, token) != 0) Die();
  if (__atomic_exchange_n(&context->interrupted, 0, __ATOMIC_SEQ_CST) != 0) {
    SaveRegisters(uc, &context->regs);
    context->regs.orig_rax = ~0ul;
    Obey(context, uc, Ask(context, Event::kInterrupt));
  }
  stub_return_to(uc);
}

void AwaitMaker(Context* context) {
  while (__atomic_load_n(&context->adopted, __ATOMIC_ACQUIRE) == 0) stub_call(__NR_sched_yield);
  stub_call(__NR_arch_prctl, kArchSetFs, context->fs_base);
  stub_call(__NR_arch_prctl, kArchSetGs, context->gs_base);
}

long RunClone(Context* context, UContext* uc, uint64_t slot, bool* stop) {
  const Clone clone = context->clone;
  if (clone.sort == CloneSort::kAdopt) return CloneOntoIdle(clone, uc);
  if (clone.sort == CloneSort::kSharedMemory) return CloneShared(clone, uc, slot);
  const long result = HostClone(clone, 0, slot);
  if (result != 0) return result;
  *stop = StartFork(context, clone, uc);
  return 0;
}

}  // namespace cloister::stub
