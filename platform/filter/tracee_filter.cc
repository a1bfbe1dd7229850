#include "platform/filter/tracee_filter.h"

#include <linux/audit.h>
#include <sched.h>
#include <sys/syscall.h>

#include <cstddef>

#include "platform/filter/bpf_assembler.h"

namespace cloister::filter {
namespace {

// What no child of a tracee may be: out of the tracer's sight, or in a namespace of its own.
constexpr uint32_t kForbiddenCloneFlags = CLONE_UNTRACED | CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID |
                                          CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

constexpr StubRule kRules[] = {
    {SYS_mmap, "mmap", StubAction::kAllow, "the guest's memory, and files that the sentry has sent"},
    {SYS_munmap, "munmap", StubAction::kAllow, "the guest's memory"},
    {SYS_mprotect, "mprotect", StubAction::kAllow, "the guest's memory"},
    {SYS_madvise, "madvise", StubAction::kAllow, "the guest's memory"},
    {SYS_mremap, "mremap", StubAction::kAllow, "the guest's memory"},
    {SYS_recvmsg, "recvmsg", StubAction::kAllow, "a file to be mapped, from the sentry"},
    {SYS_close, "close", StubAction::kAllow, "that file, once it is mapped"},
    {SYS_clone, "clone", StubAction::kNotify,
     "threads and processes: only such as are traced from the start"},
    {SYS_exit, "exit", StubAction::kAllow, "a thread ends"},
};

// The calls of the vsyscall page.
constexpr int kVsyscalls[] = {SYS_gettimeofday, SYS_time, SYS_getcpu};

}  // namespace

std::span<const StubRule> TraceeRules() { return kRules; }

absl::StatusOr<std::vector<sock_filter>> BuildTraceeFilter() {
  BpfAssembler bpf;
  const BpfAssembler::Label allow = bpf.NewLabel(), kill = bpf.NewLabel(), trap = bpf.NewLabel();
  const BpfAssembler::Label clone = bpf.NewLabel();
  bpf.Load(offsetof(seccomp_data, arch));
  bpf.JumpUnlessEqual(AUDIT_ARCH_X86_64, kill);
  bpf.Load(offsetof(seccomp_data, nr));
  for (const StubRule& rule : kRules) {
    bpf.JumpIfEqual(static_cast<uint32_t>(rule.nr), rule.nr == SYS_clone ? clone : allow);
  }
  for (const int nr : kVsyscalls) bpf.JumpIfEqual(static_cast<uint32_t>(nr), trap);
  bpf.Bind(kill);
  bpf.Return(SECCOMP_RET_KILL_PROCESS);
  bpf.Bind(trap);
  bpf.Return(SECCOMP_RET_TRAP);
  bpf.Bind(clone);
  const BpfAssembler::Label untraced = bpf.NewLabel();
  bpf.LoadArgLow(0);
  bpf.JumpIfAnyBit(kForbiddenCloneFlags, untraced);
  bpf.JumpIfAnyBit(CLONE_PTRACE, allow);
  bpf.Bind(untraced);
  bpf.Return(SECCOMP_RET_KILL_PROCESS);
  bpf.Bind(allow);
  bpf.Return(SECCOMP_RET_ALLOW);
  return bpf.Finish();
}

}  // namespace cloister::filter
