#ifndef CLOISTER_PLATFORM_PTRACE_FP_STATE_H_
#define CLOISTER_PLATFORM_PTRACE_FP_STATE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "platform/ptrace/space.h"
#include "platform/ptrace/tracee.h"

namespace cloister::ptrace {

// A traced thread's FP state, between ptrace(2)'s register set and Linux' signal frame: an XSAVE area with
// the software's bytes at 464 and a trailing magic word. State that a program has to ask for (AMX) is left
// out.

// Bytes in a signal frame, the trailing magic included.
size_t FpFrameBytes();

// As it stands in a signal frame; nothing if the thread is dead.
std::optional<std::vector<std::byte>> GetFpFrame(Tracee tracee);

// Takes a frame's state from memory, as sigreturn(2) does: a whole XSAVE area, or the first 512 bytes alone.
// The size and the magic words there only say which.
enum class FpLoad { kDone, kUnreadable, kBad };
FpLoad LoadFpFrame(Tracee tracee, Space& space, uint64_t addr);

// As a new process has it.
void ResetFp(Tracee tracee);

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_FP_STATE_H_
