#ifndef CLOISTER_SENTRY_SIGNAL_SIGNAL_FRAME_H_
#define CLOISTER_SENTRY_SIGNAL_SIGNAL_FRAME_H_

#include <signal.h>

#include <cstdint>

#include "base/error/errno_or.h"
#include "platform/api/address_space.h"
#include "platform/api/host_op.h"
#include "platform/api/trap.h"
#include "sentry/signal/signal_actions.h"
#include "sentry/signal/signal_set.h"

namespace cloister::signal {

// Of linux/signal.h, which does not go with glibc's: the handler runs with the alternate stack forgotten.
inline constexpr int32_t kSsAutodisarm = static_cast<int32_t>(1u << 31);

// sigaltstack(2)'s stack_t.
struct AltStack {
  uint64_t sp = 0;
  int32_t flags = SS_DISABLE;
  uint64_t size = 0;

  bool Holds(uint64_t address) const { return !(flags & SS_DISABLE) && address - sp <= size && address > sp; }
};

// The x86-64 rt_sigframe: what lies on the guest's stack while a handler runs. gdb and unwinders
// know its layout (arch/x86/include/asm/sigframe.h).
struct FrameRequest {
  siginfo_t info = {};
  Action action;
  SignalSet saved_mask;  // goes to uc_sigmask
  AltStack alt_stack;
  platform::Fault fault;  // trapno, err and cr2 of the last fault
  size_t fp_state_size = 0;
};

// Writes the frame and sets regs up for the handler. The FP state is not written: the caller runs
// the returned operation (StoreFpState) before it resumes. kFault: the stack is bad.
ErrnoOr<platform::HostOp> BuildFrame(platform::AddressSpace& space, const FrameRequest& request,
                                     platform::Registers& regs);

// rt_sigreturn(2): what the frame at regs.rsp holds.
struct Restored {
  platform::Registers regs = {};
  SignalSet mask;
  AltStack alt_stack;
  uint64_t fp_state = 0;  // address for LoadFpState; 0: none
};
ErrnoOr<Restored> ReadFrame(platform::AddressSpace& space, const platform::Registers& regs);

}  // namespace cloister::signal

#endif  // CLOISTER_SENTRY_SIGNAL_SIGNAL_FRAME_H_
