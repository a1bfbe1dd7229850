#include "sentry/signal/signal_frame.h"

#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstring>
#include <span>

#include "sentry/usermem/user_ptr.h"

namespace cloister::signal {
namespace {

using platform::Registers;

constexpr uint64_t kRedZone = 128;
constexpr uint64_t kUcFpXstate = 1;         // UC_FP_XSTATE
constexpr uint64_t kUcSigcontextSs = 2;     // UC_SIGCONTEXT_SS
constexpr uint64_t kUcStrictRestoreSs = 4;  // UC_STRICT_RESTORE_SS
constexpr uint64_t kUserCs = 0x33;
constexpr uint64_t kUserSs = 0x2b;
// Flags that a guest may set: CF PF AF ZF SF TF DF OF RF AC (FIX_EFLAGS of the kernel).
constexpr uint64_t kSettableFlags = 0x50dd5 | 0x10000;

// struct rt_sigframe of the kernel; glibc's ucontext_t is longer, so the parts are named here.
struct KernelUcontext {
  uint64_t flags;
  uint64_t link;
  uint64_t stack_sp;
  int32_t stack_flags;
  int32_t padding;
  uint64_t stack_size;
  struct sigcontext mcontext;
  uint64_t sigmask;
};
struct RtSigframe {
  uint64_t return_address;
  KernelUcontext uc;
  siginfo_t info;
};
static_assert(offsetof(RtSigframe, info) == 8 + sizeof(KernelUcontext));
static_assert(sizeof(struct sigcontext) == 256);

void StoreRegisters(const Registers& regs, const FrameRequest& request, struct sigcontext* sc) {
  sc->r8 = regs.r8;
  sc->r9 = regs.r9;
  sc->r10 = regs.r10;
  sc->r11 = regs.r11;
  sc->r12 = regs.r12;
  sc->r13 = regs.r13;
  sc->r14 = regs.r14;
  sc->r15 = regs.r15;
  sc->rdi = regs.rdi;
  sc->rsi = regs.rsi;
  sc->rbp = regs.rbp;
  sc->rbx = regs.rbx;
  sc->rdx = regs.rdx;
  sc->rax = regs.rax;
  sc->rcx = regs.rcx;
  sc->rsp = regs.rsp;
  sc->rip = regs.rip;
  sc->eflags = regs.eflags;
  sc->cs = kUserCs;
  sc->__pad0 = kUserSs;
  sc->err = request.fault.err;
  sc->trapno = request.fault.trapno;
  sc->cr2 = request.fault.addr;
  sc->oldmask = request.saved_mask.bits();
}

void LoadRegisters(const struct sigcontext& sc, Registers* regs) {
  regs->r8 = sc.r8;
  regs->r9 = sc.r9;
  regs->r10 = sc.r10;
  regs->r11 = sc.r11;
  regs->r12 = sc.r12;
  regs->r13 = sc.r13;
  regs->r14 = sc.r14;
  regs->r15 = sc.r15;
  regs->rdi = sc.rdi;
  regs->rsi = sc.rsi;
  regs->rbp = sc.rbp;
  regs->rbx = sc.rbx;
  regs->rdx = sc.rdx;
  regs->rax = sc.rax;
  regs->rcx = sc.rcx;
  regs->rsp = sc.rsp;
  regs->rip = sc.rip;
  regs->eflags = (regs->eflags & ~kSettableFlags) | (sc.eflags & kSettableFlags);
  regs->orig_rax = ~uint64_t{0};
}

}  // namespace

ErrnoOr<platform::HostOp> BuildFrame(platform::AddressSpace& space, const FrameRequest& request,
                                     Registers& regs) {
  uint64_t sp = regs.rsp - kRedZone;
  const bool on_alt_stack = request.alt_stack.Holds(regs.rsp);
  if ((request.action.flags & SA_ONSTACK) && !(request.alt_stack.flags & SS_DISABLE) && !on_alt_stack) {
    sp = request.alt_stack.sp + request.alt_stack.size;
  }
  sp = (sp - request.fp_state_size) & ~uint64_t{63};
  const uint64_t fp_state = sp;
  sp -= sizeof(RtSigframe);
  sp = ((sp + 8) & ~uint64_t{15}) - 8;  // as after a call instruction
  if (on_alt_stack && !request.alt_stack.Holds(sp)) return Errno::kFault;

  RtSigframe frame = {};
  frame.return_address = request.action.restorer;
  frame.uc.flags = kUcFpXstate | kUcSigcontextSs | kUcStrictRestoreSs;
  frame.uc.stack_sp = request.alt_stack.sp;
  frame.uc.stack_flags = on_alt_stack ? SS_ONSTACK : request.alt_stack.flags;
  frame.uc.stack_size = request.alt_stack.size;
  StoreRegisters(regs, request, &frame.uc.mcontext);
  frame.uc.mcontext.__fpstate_word = fp_state;
  frame.uc.sigmask = request.saved_mask.bits();
  frame.info = request.info;
  TRY_VOID(usermem::CopyOutBytes(space, sp, std::as_bytes(std::span(&frame, 1))));

  regs.rsp = sp;
  regs.rip = request.action.handler;
  regs.rdi = static_cast<uint64_t>(request.info.si_signo);
  regs.rsi = sp + offsetof(RtSigframe, info);
  regs.rdx = sp + offsetof(RtSigframe, uc);
  regs.rax = 0;
  regs.eflags &= ~uint64_t{0x10500};  // DF, TF, RF
  regs.orig_rax = ~uint64_t{0};
  return platform::HostOp::StoreFpState(fp_state);
}

ErrnoOr<Restored> ReadFrame(platform::AddressSpace& space, const Registers& regs) {
  // The handler's `ret` has taken the return address off.
  const RtSigframe frame = TRY(usermem::CopyIn(space, usermem::UserPtr<const RtSigframe>(regs.rsp - 8)));
  Restored restored;
  restored.regs = regs;
  LoadRegisters(frame.uc.mcontext, &restored.regs);
  restored.mask = SignalSet(frame.uc.sigmask).Without(kUnblockable);
  restored.alt_stack = {frame.uc.stack_sp, frame.uc.stack_flags & ~SS_ONSTACK, frame.uc.stack_size};
  restored.fp_state = frame.uc.mcontext.__fpstate_word;
  return restored;
}

}  // namespace cloister::signal
