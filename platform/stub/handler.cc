// Signals of the stub: traps and faults of the guest, interrupts by the sentry, and the stub's own
// faults on guest memory.

#include <asm/unistd.h>
#include <linux/audit.h>

#include "platform/stub/internal.h"

namespace cloister::stub {
namespace {

constexpr int kSigBus = 7, kSigSegv = 11, kSigSys = 31;
constexpr uint64_t kGeneralProtection = 13;
constexpr uint64_t kInt80Error = (0x80 << 3) | 2;  // selector error code of a closed IDT gate

// Continues behind a faulting access that the stub made for the sentry. False: it was the guest.
bool FixUp(int signo, UContext* uc) {
  if (signo != kSigSegv && signo != kSigBus) return false;
  if (uc->mc.rip == reinterpret_cast<uint64_t>(stub_copy_at)) {
    uc->mc.rip = reinterpret_cast<uint64_t>(stub_copy_fix);
    return true;
  }
  if (uc->mc.rip == reinterpret_cast<uint64_t>(stub_cmpxchg_at)) {
    uc->mc.rip = reinterpret_cast<uint64_t>(stub_cmpxchg_fix);
    return true;
  }
  return false;
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
  if (signo == kSigSys && info->code == 1) {  // SYS_SECCOMP
    if (info->arch != AUDIT_ARCH_X86_64) return RefuseCompat(context, uc);
    context->regs.orig_rax = static_cast<uint64_t>(static_cast<int64_t>(info->syscall_nr));
    return Event::kSyscall;
  }
  context->regs.orig_rax = ~0ul;
  // Only the kernel itself makes codes above 0: anything else was sent from outside.
  if (signo == kInterruptSignal || info->code <= 0 || signo == kSigSys) return Event::kInterrupt;
  FillFault(context, uc, signo, info);
  return Event::kFault;
}

// Rings and obeys until the guest is to run on.
void Converse(Context* context, UContext* uc, uint64_t slot, Event event) {
  for (;;) {
    const long answer = Ring(event, 0);
    if (answer == static_cast<long>(Answer::kResume)) {
      LoadRegisters(uc, &context->regs);
      return;
    }
    if (answer == static_cast<long>(Answer::kOps) || answer >= kFirstInjectedFd) {
      uint64_t run = 0;
      const long result = RunOps(context, uc, &run);
      if (answer >= kFirstInjectedFd) stub_call(__NR_close, kFirstInjectedFd + slot);
      context->op_result = result;
      context->ops_run = run;
    } else if (answer == static_cast<long>(Answer::kClone)) {
      bool stop = false;
      const long result = RunClone(context, uc, slot, &stop);
      if (result == 0) {  // the forked child: registers are loaded
        if (!stop) return;
        event = Event::kBorn;
        continue;
      }
      context->op_result = result < 0 ? result : 0;
      context->ops_run = 1;
    } else if (answer == static_cast<long>(Answer::kExit)) {
      stub_call(__NR_exit, 0);
    } else {
      Die();
    }
    const bool failed = context->op_result < 0 && context->op_result >= -4095;
    if (!failed && context->report == 0) {
      LoadRegisters(uc, &context->regs);
      return;
    }
    event = Event::kOpsDone;
  }
}

}  // namespace

long Ring(Event event, uint64_t token) { return stub_call(kDoorbellNr, static_cast<uint64_t>(event), token); }

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
  const bool is_call = signo == kSigSys && info->code == 1 && info->arch == AUDIT_ARCH_X86_64;
  if (is_call && AnswerQuickly(context, info->syscall_nr, uc)) return;
  const Event event = Describe(context, uc, signo, info);
  Converse(context, uc, slot, event);
}

}  // namespace cloister::stub
