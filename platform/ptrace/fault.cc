#include "platform/ptrace/fault.h"

namespace cloister::ptrace {
namespace {

// Exception numbers, asm/trapnr.h.
constexpr uint64_t kDivide = 0, kDebug = 1, kBreakpoint = 3, kOverflow = 4, kInvalidOpcode = 6;
constexpr uint64_t kGeneralProtection = 13, kPageFault = 14, kAlignment = 17, kSimd = 19;
// Bits of a page fault's error code.
constexpr uint64_t kPresent = 1, kWrite = 2, kUser = 4, kFetch = 16;

uint64_t ExceptionOf(const siginfo_t& info) {
  switch (info.si_signo) {
    case SIGSEGV:
      return info.si_code == SI_KERNEL ? kGeneralProtection : kPageFault;
    case SIGBUS:
      return info.si_code == BUS_ADRALN ? kAlignment : kPageFault;
    case SIGFPE:
      if (info.si_code == FPE_INTDIV) return kDivide;
      return info.si_code == FPE_INTOVF ? kOverflow : kSimd;
    case SIGTRAP:
      return info.si_code == TRAP_TRACE || info.si_code == TRAP_HWBKPT ? kDebug : kBreakpoint;
    default:
      return kInvalidOpcode;
  }
}

uint64_t PageFaultError(const siginfo_t& info, uint64_t addr, uint64_t rip, Space& space) {
  uint64_t error = kUser;
  if (addr == rip) error |= kFetch;
  if (info.si_signo != SIGSEGV || info.si_code != SEGV_ACCERR) return error;
  error |= kPresent;
  std::byte byte;
  if (addr != rip && space.Read(addr, {&byte, 1}) == 1) error |= kWrite;
  return error;
}

}  // namespace

bool IsFault(const siginfo_t& info) {
  if (info.si_code <= 0) return false;  // sent by somebody
  switch (info.si_signo) {
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
      return true;
    default:
      return false;
  }
}

platform::Fault Describe(const siginfo_t& info, const platform::Registers& regs, Space& space) {
  platform::Fault fault;
  fault.signo = info.si_signo;
  fault.code = info.si_code;
  fault.addr = reinterpret_cast<uint64_t>(info.si_addr);
  fault.trapno = ExceptionOf(info);
  if (fault.trapno == kPageFault) fault.err = PageFaultError(info, fault.addr, regs.rip, space);
  return fault;
}

platform::Fault CompatCallFault() {
  platform::Fault fault = ProtectionFault();
  fault.err = (0x80 << 3) | 2;  // the gate of vector 0x80
  return fault;
}

platform::Fault ProtectionFault() {
  platform::Fault fault;
  fault.signo = SIGSEGV;
  fault.code = SI_KERNEL;
  fault.trapno = kGeneralProtection;
  return fault;
}

}  // namespace cloister::ptrace
