#ifndef CLOISTER_PLATFORM_API_TRAP_H_
#define CLOISTER_PLATFORM_API_TRAP_H_

#include <sys/user.h>

#include <cstdint>

#include "base/error/errno.h"

namespace cloister::platform {

class GuestThread;

// The guest's general registers, in the layout of ptrace(2) PTRACE_GETREGS.
// fs_base and gs_base are meaningful only where a comment says so: use HostOp::ArchPrctl.
// orig_rax holds the syscall's number at a kSyscall trap and -1 at any other.
using Registers = user_regs_struct;

// What a fault was, as the host's siginfo and signal frame told. Untrusted in no way that matters:
// a lie here is told to the guest that told it.
struct Fault {
  int signo = 0;        // SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP
  int code = 0;         // si_code
  uint64_t addr = 0;    // si_addr
  uint64_t trapno = 0;  // the processor's exception number
  uint64_t err = 0;     // its error code
};

// Why a guest thread stopped.
struct Trap {
  enum class Kind {
    kSyscall,    // regs().orig_rax and the argument registers say which; rip is after the instruction
    kFault,      // fault is set; rip is at the faulting instruction
    kInterrupt,  // Interrupt() was called, or for no reason at all
    kOpsDone,    // RunOps or Clone with kReport has ended, or failed before the end
  };
  Kind kind = Kind::kInterrupt;
  Fault fault = {};
  // kOpsDone: the result of the last operation that ran (a negative errno where it failed).
  int64_t result = 0;
  // kOpsDone: how many operations ran, the failed one included.
  uint32_t ops_run = 0;
  // kSyscall: where HostOp::PatchCall would spare the guest its next traps; 0: nowhere. Untrusted.
  uint64_t patch_site = 0;
};

// Receives what happens to one guest thread. Implemented by the sentry's Task.
class TrapHandler {
 public:
  // The thread has stopped. Runs on a platform worker with no lock held. Exactly one of the
  // thread's answering calls (Resume, RunOps, Clone, Exit) must follow, now or later, on any thread.
  virtual void OnTrap(GuestThread& thread, const Trap& trap) = 0;

  // A thread that Clone makes for this handler: called inside Clone, before parent or child can run.
  virtual void OnBorn(GuestThread&) {}

  // The host thread no longer exists, asked for or not; the last call for this thread.
  // host_status is wait(2)'s status where the whole host process has ended, else 0.
  virtual void OnGone(GuestThread& thread, int host_status) = 0;

 protected:
  ~TrapHandler() = default;
};

}  // namespace cloister::platform

#endif  // CLOISTER_PLATFORM_API_TRAP_H_
