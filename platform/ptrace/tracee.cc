#include "platform/ptrace/tracee.h"

#include <sys/ptrace.h>
#include <sys/uio.h>

#include <cerrno>

namespace cloister::ptrace {
namespace {

template <typename Address, typename Data>
int Request(__ptrace_request request, pid_t tid, Address address, Data data) {
  return ::ptrace(request, tid, address, data) == 0 ? 0 : errno;
}

}  // namespace

// Children are traced by CLONE_PTRACE, which costs no stop of their parent, and inherit the options.
int Tracee::Seize() {
  return Request(PTRACE_SEIZE, tid_, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
}

int Tracee::GetRegisters(platform::Registers* regs) { return Request(PTRACE_GETREGS, tid_, nullptr, regs); }

int Tracee::SetRegisters(const platform::Registers& regs) {
  return Request(PTRACE_SETREGS, tid_, nullptr, &regs);
}

int Tracee::GetRegset(int type, std::span<std::byte> into, size_t* bytes) {
  iovec area = {into.data(), into.size()};
  const int failed = Request(PTRACE_GETREGSET, tid_, static_cast<long>(type), &area);
  *bytes = area.iov_len;
  return failed;
}

int Tracee::SetRegset(int type, std::span<const std::byte> from) {
  iovec area = {const_cast<std::byte*>(from.data()), from.size()};
  return Request(PTRACE_SETREGSET, tid_, static_cast<long>(type), &area);
}

int Tracee::GetSignal(siginfo_t* info) { return Request(PTRACE_GETSIGINFO, tid_, nullptr, info); }

int Tracee::RunGuest() { return Request(PTRACE_SYSEMU, tid_, nullptr, nullptr); }

int Tracee::RunHost() { return Request(PTRACE_CONT, tid_, nullptr, nullptr); }

}  // namespace cloister::ptrace
