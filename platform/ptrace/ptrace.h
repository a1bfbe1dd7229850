#ifndef CLOISTER_PLATFORM_PTRACE_PTRACE_H_
#define CLOISTER_PLATFORM_PTRACE_PTRACE_H_

#include <sys/types.h>

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "platform/api/platform.h"

namespace cloister::ptrace {

struct PtraceOptions {
  // Somebody outside, or the host for want of memory, killed a stub with SIGKILL. On the tracer's thread.
  std::function<void(pid_t)> on_killed_outside;
  // The same of the zygote: there will be no further processes.
  std::function<void(pid_t)> on_zygote_dead;
};

// The slow, portable platform: guests run as host processes that one thread of the sentry traces with
// PTRACE_SYSEMU, so that the host carries out no call of theirs. TrapHandlers are called on that thread. What
// a stopped thread is to do with its own process is injected: the tracer sends it through the gate of its
// image (platform/stub/tracee_layout.h) with the registers of a host call. For hosts where a seccomp listener
// cannot be had, and as the cross-check of platform/api.
//
// Executes the zygote from which all stubs are forked, as NewSystrap does, and asks the same of its caller.
// All children of this process are taken for stubs, and reaped. SIGURG is the tracer thread's.
//
// Platform::Start makes that thread: call it before the sentry's filter stands. What is called later: ptrace,
// waitid, tgkill, process_vm_readv and process_vm_writev, sendmsg, recvmsg, close, clock_gettime, and what
// the allocator and locks need.
absl::StatusOr<std::unique_ptr<platform::Platform>> NewPtrace(const PtraceOptions& options);

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_PTRACE_H_
