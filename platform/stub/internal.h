#ifndef CLOISTER_PLATFORM_STUB_INTERNAL_H_
#define CLOISTER_PLATFORM_STUB_INTERNAL_H_

#include <asm/sigcontext.h>

#include <cstdint>

#include "platform/stub/context.h"

// Inside the stub image only: freestanding, no libc, no writable data, general registers only.

namespace cloister::stub {

// The kernel's struct ucontext and siginfo as they lie in a signal frame (arch/x86, asm/ucontext.h).
struct SignalStack {
  uint64_t sp;
  int32_t flags;
  int32_t pad;
  uint64_t size;
};
struct UContext {
  uint64_t flags;
  UContext* link;
  SignalStack stack;
  sigcontext mc;
  uint64_t sigmask;
};
struct SigInfo {
  int32_t signo;
  int32_t error;
  int32_t code;
  int32_t pad;
  uint64_t addr;       // si_addr, or si_call_addr
  int32_t syscall_nr;  // SIGSYS
  uint32_t arch;
};
static_assert(offsetof(SigInfo, addr) == 16 && offsetof(SigInfo, arch) == 28);

#pragma GCC visibility push(hidden)  // no global offset table in the image
extern "C" {
long stub_call(uint64_t nr, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0, uint64_t a3 = 0,
               uint64_t a4 = 0, uint64_t a5 = 0);
void stub_restore();
[[noreturn]] void stub_return_to(UContext* uc);
void stub_thread_entry();
uint64_t stub_copy(void* dst, const void* src, uint64_t n);
long stub_cmpxchg(uint64_t addr, uint32_t expected, uint32_t desired);
void stub_trap_once();
// The host call nr with the six args, unless context->interrupted is set, or will be before it begins:
// -EINTR.
long stub_sleep(Context* context, uint64_t nr, const uint64_t* args);
extern const char stub_gate[], stub_sleep_check[], stub_sleep_refused[];
extern const char stub_copy_at[], stub_copy_fix[], stub_cmpxchg_at[], stub_cmpxchg_fix[];
extern const char stub_gs_at[], stub_gs_fix[];
void stub_handler(int signo, SigInfo* info, UContext* uc);
// Whether GS still points to a context page.
bool stub_gs_is_ours();
// Traps on purpose: goes on in the handler, with a signal frame, to obey Context::reframe_answer.
[[noreturn]] void stub_reframe();
// Patched calls: gate.S.
extern const char stub_entry[], stub_compare_entry[], stub_entry_refused[], stub_reframe_return[];
extern const char stub_exit[], stub_exit_jump[], stub_exit_end[], stub_image_end[];
}
#pragma GCC visibility pop

// Bytes of the frame's FP state, the trailing magic included; 512 where there is no XSAVE.
uint64_t FpStateBytes(const UContext* uc);

// Copies registers between a context page and a signal frame.
void SaveRegisters(const UContext* uc, user_regs_struct* regs);
void LoadRegisters(UContext* uc, const user_regs_struct* regs);

// Whether the operations of the context page read or write the FP state of a signal frame.
bool OpsNeedFrame(const Context* context);
// Runs the operations of the context page; uc may be null if they need no frame. Returns the result of
// the last one that ran; run says how many did. Negative errnos end the list.
long RunOps(Context* context, UContext* uc, uint64_t* run);

// Carries out context->clone. Returns the child's id or a negative errno; in a forked child sets
// *stop to whether it must report, and returns 0.
long RunClone(Context* context, UContext* uc, uint64_t slot, bool* stop);

// In a thread that becomes another one: waits until its maker has left FP state, FS and GS.
void AwaitMaker(Context* context);

// Answers the guest's call of context->regs where Quick allows it; uc: the signal frame, or null. False: it
// is the sentry's.
bool AnswerQuickly(Context* context, const UContext* uc);

// futex(2) and futex_waitv(2) by the host. False: it is the sentry's, or was interrupted.
bool FutexQuickly(Context* context, const UContext* uc, long* result);
// The same by an operation.
long RunFutexOp(Context* context, const UContext* uc, const Op& op);
// exit(2): what the sentry would do to the guest's words, where that is simple.
void LeaveFutexes(Context* context);

// Copies small arguments of the call in context->regs into the window, and announces where small results may
// go.
void FillWindow(Context* context);
// Stores what the sentry has left there. False: not all of it could be.
bool StoreResults(Context* context);

// Tells the sentry of an event and waits for its answer.
long Ask(Context* context, Event event);
// Obeys an answer, and asks again, until the guest is to run on with context->regs. They have been loaded
// into uc then. Without a frame (uc null) it does not return where one is needed: it reframes.
void Obey(Context* context, UContext* uc, long answer);

inline uint64_t SlotOf(const Context* context) {
  return (reinterpret_cast<uint64_t>(context) - kContextBase) / kContextBytes;
}

long Ring(Event event, uint64_t token);
// Closes the descriptors that were lent to this thread. They are kept from one mmap(2) to the next, as a
// library is mapped by several.
void GiveBackLent(Context* context);
// And the one that it was lent to read, which it keeps for its next read(2).
void GiveBackRead(const Context* context);
[[noreturn]] void Die();

}  // namespace cloister::stub

#endif  // CLOISTER_PLATFORM_STUB_INTERNAL_H_
