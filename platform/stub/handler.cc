// Signals of the stub: traps and faults of the guest, interrupts by the sentry, and the stub's own
// faults on guest memory.

#include <asm/unistd.h>
#include <linux/audit.h>

#include "platform/stub/internal.h"
#include "platform/stub/patch.h"

namespace cloister::stub {
namespace {

constexpr int kSigIll = 4, kSigTrap = 5, kSigBus = 7, kSigSegv = 11, kSigSys = 31;
constexpr int kSysSeccomp = 1;
constexpr uint64_t kGeneralProtection = 13;
constexpr uint64_t kInt80Error = (0x80 << 3) | 2;  // selector error code of a closed IDT gate

// Continues behind a faulting access that the stub made for the sentry. False: it was the guest.
bool FixUp(int signo, UContext* uc) {
  if (signo != kSigSegv && signo != kSigBus) return false;
  const struct {
    const char *at, *fix;
  } kFixes[] = {
      {stub_copy_at, stub_copy_fix}, {stub_cmpxchg_at, stub_cmpxchg_fix}, {stub_gs_at, stub_gs_fix}};
  for (const auto& [at, fix] : kFixes) {
    if (uc->mc.rip != reinterpret_cast<uint64_t>(at)) continue;
    uc->mc.rip = reinterpret_cast<uint64_t>(fix);
    return true;
  }
  return false;
}

bool IsIn(uint64_t rip, const char* begin, const char* end) {
  return rip >= reinterpret_cast<uint64_t>(begin) && rip < reinterpret_cast<uint64_t>(end);
}

// Whether a patched call is under way.
bool InPatchedCall(const UContext* uc) {
  const uint64_t rip = uc->mc.rip;
  const bool in_table = rip >= kPatchBase + 4096 && rip < kPatchBase + kPatchBytes;
  return in_table || IsIn(rip, reinterpret_cast<const char*>(kImageBase), stub_image_end);
}

// An interrupt that came meanwhile: the call's end looks for it.
void KeepForLater(Context* context, UContext* uc) {
  __atomic_store_n(&context->interrupted, 1, __ATOMIC_SEQ_CST);
  if (IsIn(uc->mc.rip, stub_exit, stub_exit_end)) uc->mc.rip = reinterpret_cast<uint64_t>(stub_exit);
  const bool enters_sleep = context->asleep != 0 && uc->mc.rip == reinterpret_cast<uint64_t>(stub_gate) &&
                            uc->mc.rax != __NR_rt_sigprocmask;
  if (enters_sleep || IsIn(uc->mc.rip, stub_sleep_check, stub_sleep_refused)) {
    uc->mc.rip = reinterpret_cast<uint64_t>(stub_sleep_refused);
  }
}

void FillFault(Context* context, const UContext* uc, int signo, const SigInfo* info) {
  context->fault_signo = signo;
  context->fault_code = info->code;
  context->fault_addr = info->addr;
  context->fault_trapno = uc->mc.trapno;
  context->fault_err = uc->mc.err;
}

// A 32-bit call (int 0x80, or any from a 32-bit code segment) becomes what a kernel without
// CONFIG_IA32_EMULATION makes of it: a general protection fault at the instruction.
Event RefuseCompat(Context* context, UContext* uc) {
  context->regs.rip -= 2;
  context->regs.orig_rax = ~0ul;
  context->fault_signo = kSigSegv;
  context->fault_code = 0x80;  // SI_KERNEL
  context->fault_addr = 0;
  context->fault_trapno = kGeneralProtection;
  context->fault_err = kInt80Error;
  (void)uc;
  return Event::kFault;
}

Event Describe(Context* context, UContext* uc, int signo, const SigInfo* info) {
  SaveRegisters(uc, &context->regs);
  if (signo == kSigSys && info->code == kSysSeccomp) return RefuseCompat(context, uc);
  context->regs.orig_rax = ~0ul;
  context->frame = 0;
  // Only the kernel itself makes codes above 0: anything else was sent from outside.
  if (signo == kInterruptSignal || info->code <= 0 || signo == kSigSys) return Event::kInterrupt;
  FillFault(context, uc, signo, info);
  return Event::kFault;
}

// Whether the signal is a system call of the guest that came by another way than `syscall`: a patched call
// that found GS taken, or one that met its own patching. The registers are made what `syscall` leaves.
bool IsMendedCall(int signo, UContext* uc) {
  const uint64_t rip = uc->mc.rip;
  const bool at_entry = signo == kSigSegv && (rip == reinterpret_cast<uint64_t>(stub_entry) ||
                                              rip == reinterpret_cast<uint64_t>(stub_compare_entry));
  if (at_entry || (signo == kSigIll && rip == reinterpret_cast<uint64_t>(stub_entry_refused))) {
    uc->mc.rip = uc->mc.rcx;
  } else if (signo == kSigIll && MendAt(rip) == Mend::kCall) {
    uc->mc.rip = rip + 2;
  } else {
    return false;
  }
  uc->mc.rcx = uc->mc.rip;
  uc->mc.r11 = uc->mc.eflags;
  return true;
}

void ServeCall(Context* context, UContext* uc, uint64_t nr, bool may_patch) {
  SaveRegisters(uc, &context->regs);
  context->regs.orig_rax = nr;
  context->patch_site = may_patch ? SiteToPatch(context, uc->mc.rip, nr) : 0;
  if (context->patch_site == 0 && AnswerQuickly(context, uc)) {
    uc->mc.rax = context->regs.rax;
    return;
  }
  if (nr != __NR_mmap) GiveBackLent(context);
  if (nr == __NR_exit) LeaveFutexes(context);
  context->frame = nr == __NR_exit ? reinterpret_cast<uint64_t>(uc) : 0;
  FillWindow(context);
  Obey(context, uc, Ask(context, Event::kSyscall));
}

}  // namespace

void Die() {
  for (;;) stub_call(__NR_exit_group, 1);
}

void SaveRegisters(const UContext* uc, user_regs_struct* regs) {
  const sigcontext& mc = uc->mc;
  regs->r8 = mc.r8;
  regs->r9 = mc.r9;
  regs->r10 = mc.r10;
  regs->r11 = mc.r11;
  regs->r12 = mc.r12;
  regs->r13 = mc.r13;
  regs->r14 = mc.r14;
  regs->r15 = mc.r15;
  regs->rdi = mc.rdi;
  regs->rsi = mc.rsi;
  regs->rbp = mc.rbp;
  regs->rbx = mc.rbx;
  regs->rdx = mc.rdx;
  regs->rax = mc.rax;
  regs->rcx = mc.rcx;
  regs->rsp = mc.rsp;
  regs->rip = mc.rip;
  regs->eflags = mc.eflags;
  regs->cs = mc.cs;
  regs->ss = mc.ss;
}

void LoadRegisters(UContext* uc, const user_regs_struct* regs) {
  sigcontext& mc = uc->mc;
  mc.r8 = regs->r8;
  mc.r9 = regs->r9;
  mc.r10 = regs->r10;
  mc.r11 = regs->r11;
  mc.r12 = regs->r12;
  mc.r13 = regs->r13;
  mc.r14 = regs->r14;
  mc.r15 = regs->r15;
  mc.rdi = regs->rdi;
  mc.rsi = regs->rsi;
  mc.rbp = regs->rbp;
  mc.rbx = regs->rbx;
  mc.rdx = regs->rdx;
  mc.rax = regs->rax;
  mc.rcx = regs->rcx;
  mc.rsp = regs->rsp;
  mc.rip = regs->rip;
  mc.eflags = regs->eflags;
  mc.cs = static_cast<uint16_t>(regs->cs);
  mc.ss = static_cast<uint16_t>(regs->ss);
}

extern "C" void stub_handler(int signo, SigInfo* info, UContext* uc) {
  if (FixUp(signo, uc)) return;
  const uint64_t slot = (reinterpret_cast<uint64_t>(uc) - kStackBase) / kStackBytes;
  if (slot >= kSlots) Die();
  auto* context = reinterpret_cast<Context*>(ContextAddress(slot));
  const bool trapped = signo == kSigSys && info->code == kSysSeccomp && info->arch == AUDIT_ARCH_X86_64;
  if (trapped && uc->mc.rip == reinterpret_cast<uint64_t>(stub_reframe_return)) {
    Obey(context, uc, static_cast<long>(context->reframe_answer));
    return;
  }
  if (trapped)
    return ServeCall(context, uc, static_cast<uint64_t>(static_cast<int64_t>(info->syscall_nr)), true);
  if (signo == kSigIll && MendAt(uc->mc.rip) == Mend::kRetry) return;
  if (signo == kSigSegv && info->code > 0 && SkipComparison(uc)) return;
  if (IsMendedCall(signo, uc)) return ServeCall(context, uc, uc->mc.rax, false);
  // Where the guest cannot go on is where it wanted to go.
  if (signo == kSigSegv && uc->mc.rip == reinterpret_cast<uint64_t>(stub_exit_jump)) {
    uc->mc.rip = context->regs.rip;
  }
  if (InPatchedCall(uc)) {
    if (signo == kInterruptSignal) return KeepForLater(context, uc);
    if (signo == kSigTrap) return;  // the guest steps through itself; eflags keeps the flag for it
  }
  const Event event = Describe(context, uc, signo, info);
  Obey(context, uc, Ask(context, event));
}

}  // namespace cloister::stub
