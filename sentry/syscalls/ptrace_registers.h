#ifndef CLOISTER_SENTRY_SYSCALLS_PTRACE_REGISTERS_H_
#define CLOISTER_SENTRY_SYSCALLS_PTRACE_REGISTERS_H_

#include <sys/user.h>

#include <cstddef>
#include <span>
#include <vector>

#include "base/error/errno_or.h"
#include "platform/api/trap.h"
#include "sentry/task/tracee.h"

// The registers of a tracee as ptrace(2) shows and takes them. Linux: arch/x86/kernel/ptrace.c, fpu/regset.c.

namespace cloister::syscalls {

user_regs_struct ShowRegisters(const platform::Registers& regs, const task::ExtraRegisters& extra);
// Into *regs, the bases into *extra. kIo: a value that may not be (Linux: putreg). Selectors other than
// those of 64-bit code cannot be taken on.
ErrnoOrVoid TakeRegisters(const user_regs_struct& wanted, platform::Registers* regs,
                          task::ExtraRegisters* extra);

// struct user_fpregs_struct, and the whole of NT_X86_XSTATE.
std::vector<std::byte> ShowFpRegisters(std::span<const std::byte> fp);
std::vector<std::byte> ShowXstate(std::span<const std::byte> fp);
// The other way, into an image as platform::HostOp::LoadFpState takes it.
ErrnoOrVoid TakeFpRegisters(std::span<const std::byte> wanted, std::vector<std::byte>* fp);
ErrnoOrVoid TakeXstate(std::span<const std::byte> wanted, std::vector<std::byte>* fp);

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_PTRACE_REGISTERS_H_
