#ifndef CLOISTER_SENTRY_TASK_SYSCALL_ARGS_H_
#define CLOISTER_SENTRY_TASK_SYSCALL_ARGS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "platform/api/trap.h"
#include "sentry/usermem/user_ptr.h"

namespace cloister::task {

// The number and six arguments of a syscall, copied from the trap once.
class SyscallArgs {
 public:
  SyscallArgs() = default;
  explicit SyscallArgs(const platform::Registers& regs)
      : number_(regs.orig_rax), args_{regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9} {}
  SyscallArgs(uint64_t number, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0, uint64_t a3 = 0,
              uint64_t a4 = 0, uint64_t a5 = 0)
      : number_(number), args_{a0, a1, a2, a3, a4, a5} {}

  uint64_t number() const { return number_; }
  uint64_t Raw(int n) const { return args_[n]; }
  int Int(int n) const { return static_cast<int>(args_[n]); }  // int, pid_t: the low 32 bits
  uint32_t Uint(int n) const { return static_cast<uint32_t>(args_[n]); }
  int64_t Long(int n) const { return static_cast<int64_t>(args_[n]); }  // long, off_t
  uint64_t Addr(int n) const { return args_[n]; }
  size_t Size(int n) const { return args_[n]; }
  mode_t Mode(int n) const { return static_cast<mode_t>(args_[n]); }
  template <typename T>
  usermem::UserPtr<T> Ptr(int n) const {
    return usermem::UserPtr<T>(args_[n]);
  }

 private:
  uint64_t number_ = 0;
  uint64_t args_[6] = {};
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_SYSCALL_ARGS_H_
