#ifndef CLOISTER_BASE_ABI_SYSCALL_SIGNATURES_H_
#define CLOISTER_BASE_ABI_SYSCALL_SIGNATURES_H_

#include <cstdint>
#include <string_view>

#include "base/abi/layouts.h"
#include "base/abi/signature.h"
#include "base/abi/words.h"

namespace cloister::abi {

// The system calls of Linux for x86-64 by ascending number: the one description of them. From it come the
// names and arguments of --strace, what goes through the context page's window, the list in
// docs/syscalls.md and the programs of the fuzzers.
inline constexpr Signature kSyscallSignatures[] = {
#include "base/abi/syscall_signatures.inc"
};

// Null where x86-64 has no such number.
const Signature* FindSyscallSignature(uint64_t number);
const Signature* FindSyscallSignature(std::string_view name);

}  // namespace cloister::abi

#endif  // CLOISTER_BASE_ABI_SYSCALL_SIGNATURES_H_
