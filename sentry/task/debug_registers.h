#ifndef CLOISTER_SENTRY_TASK_DEBUG_REGISTERS_H_
#define CLOISTER_SENTRY_TASK_DEBUG_REGISTERS_H_

#include <cstdint>

#include "base/error/errno_or.h"
#include "platform/api/address_space.h"

namespace cloister::task {

// The debug registers of a tracee: DR0 to DR3, DR6 and DR7 of struct user. The processor's own are out of
// reach without the host's ptrace, so a tracee with a breakpoint runs by single steps: after each one its
// next instruction and the watched values are looked at. Guarded by Kernel::tree_mu().
//
// Breakpoints for reading as well (DR7's type 3) cannot be kept so, and are refused.
class DebugRegisters {
 public:
  uint64_t Get(int number) const;
  // kIo: there is no such register. kInval: not to be honoured. Linux: ptrace_set_debugreg.
  ErrnoOrVoid Set(int number, uint64_t value);

  bool enabled() const { return (control_ & kEnableBits) != 0; }
  // Before the thread runs on: what the watched values are now.
  void Remember(platform::AddressSpace& space);
  // After a step: whether a breakpoint was hit; DR6 then says which.
  bool Hit(uint64_t rip, platform::AddressSpace& space);

 private:
  static constexpr int kCount = 4;
  static constexpr uint64_t kEnableBits = 0xff;

  bool IsEnabled(int n) const { return (control_ >> (2 * n) & 3) != 0; }
  unsigned Type(int n) const { return control_ >> (16 + 4 * n) & 3; }
  size_t Length(int n) const;
  bool IsGood(int n) const;
  uint64_t Value(int n, platform::AddressSpace& space) const;

  uint64_t address_[kCount] = {};
  uint64_t seen_[kCount] = {};
  uint64_t status_ = 0;
  uint64_t control_ = 0;
};

}  // namespace cloister::task

#endif  // CLOISTER_SENTRY_TASK_DEBUG_REGISTERS_H_
