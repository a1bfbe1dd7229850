#ifndef CLOISTER_PLATFORM_PTRACE_TRACEE_H_
#define CLOISTER_PLATFORM_PTRACE_TRACEE_H_

#include <signal.h>
#include <sys/types.h>

#include <cstddef>
#include <span>

#include "platform/api/trap.h"

namespace cloister::ptrace {

// ptrace(2), for the tracer's thread. A request returns 0 or an errno: ESRCH where the thread has been
// killed, whose end is announced then.
class Tracee {
 public:
  explicit Tracee(pid_t tid) : tid_(tid) {}

  int Seize();

  int GetRegisters(platform::Registers* regs);
  int SetRegisters(const platform::Registers& regs);
  // type: of elf.h, NT_…. *bytes: room, and then how much there is.
  int GetRegset(int type, std::span<std::byte> into, size_t* bytes);
  int SetRegset(int type, std::span<const std::byte> from);
  int GetSignal(siginfo_t* info);

  // A stop's signal is never delivered. The guest runs until its next call, which the host does not carry
  // out.
  int RunGuest();
  // What runs now may call the host.
  int RunHost();

 private:
  pid_t tid_;
};

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_TRACEE_H_
