#ifndef CLOISTER_PLATFORM_SYSTRAP_SYSTRAP_H_
#define CLOISTER_PLATFORM_SYSTRAP_SYSTRAP_H_

#include <sys/types.h>

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "platform/api/platform.h"
#include "platform/api/sideline.h"

namespace cloister::systrap {

struct SystrapOptions {
  uint32_t max_address_spaces = 8192;      // 96 MiB of the sentry's addresses each; sparse
  size_t spares = 2;                       // processes kept ready for NewProcess
  int workers = 0;                         // threads that handle traps; 0: the cores and two more
  bool spin = true;                        // workers look at busy threads while a core is free
  platform::Sideline* sideline = nullptr;  // what a worker that keeps a core does besides
  bool native_futexes = true;              // futexes are the host's
  bool native_reads = true;                // guests read files of the host themselves
  bool patch = true;                       // suggest call sites for HostOp::PatchCall
  // Somebody outside, or the host for want of memory, killed a stub with SIGKILL. On the reaper's thread.
  std::function<void(pid_t)> on_killed_outside;
  // The zygote is dead: there will be no further processes. On the reaper's thread.
  std::function<void(pid_t)> on_zygote_dead;
};

// The seccomp platform: guests run as host processes ("stubs") whose every call the host's seccomp
// filter traps; a signal handler inside hands it to the sentry through shared memory and a
// seccomp-notify doorbell. See platform/stub and platform/filter.
//
// FailedPrecondition: the host gives no seccomp listener, and has to be served another way.
//
// Executes the zygote from which all stubs are forked, so it takes what a sentry gives up later:
// vfork, execveat, memfd_create, personality, /proc. The caller must have the uid that it keeps,
// and at least the stub's (empty) capabilities: process_vm_readv(2) checks both. All children of
// this process are taken for stubs, and reaped.
//
// Platform::Start makes the threads: call it before the sentry's filter stands, or allow clone3,
// clone, mprotect, rseq, set_robust_list, sched_getaffinity until it has returned. What is called later is in
// platform/filter/systrap_rules.h.
absl::StatusOr<std::unique_ptr<platform::Platform>> NewSystrap(const SystrapOptions& options);

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_SYSTRAP_H_
