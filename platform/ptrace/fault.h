#ifndef CLOISTER_PLATFORM_PTRACE_FAULT_H_
#define CLOISTER_PLATFORM_PTRACE_FAULT_H_

#include <signal.h>

#include "platform/api/trap.h"
#include "platform/ptrace/space.h"

namespace cloister::ptrace {

// Whether the host's kernel raised the signal for what the thread itself did.
bool IsFault(const siginfo_t& info);

// ptrace(2) does not tell the processor's exception number and error code: they are what the signal and the
// memory let conclude. Not known: whether an access to unmapped or unreadable memory was to be a write (told
// as a read), and which of two units raised a floating-point exception (told as SSE's).
platform::Fault Describe(const siginfo_t& info, const platform::Registers& regs, Space& space);

// `int $0x80` and its kin, as on a kernel without CONFIG_IA32_EMULATION.
platform::Fault CompatCallFault();
// Registers or FP state that the processor refuses to load.
platform::Fault ProtectionFault();

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_FAULT_H_
