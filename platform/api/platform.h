#ifndef CLOISTER_PLATFORM_API_PLATFORM_H_
#define CLOISTER_PLATFORM_API_PLATFORM_H_

#include <sched.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "platform/api/guest_thread.h"

namespace cloister::platform {

// One way to intercept guests: systrap, ptrace or inproc. Lives as long as the sentry.
class Platform {
 public:
  virtual ~Platform() = default;

  // Starts the workers that call TrapHandlers. To be called once, after the sentry has locked
  // itself down: what needs more rights than the filter leaves is done when the object is made.
  virtual absl::Status Start() = 0;

  // A host process with an empty address space and one thread, stopped, whose registers are zero
  // and whose FP state is the initial one. Linux: what execve(2) starts from.
  virtual ErrnoOr<Ref<GuestThread>> NewProcess(TrapHandler* handler) = 0;

  // The cores that a guest's host thread may run on, as it was told or began: sched_getaffinity(2). 0, or an
  // errno of the host.
  virtual int GetAffinity(pid_t host_tid, cpu_set_t* cores) {
    return sched_getaffinity(host_tid, sizeof *cores, cores) == 0 ? 0 : errno;
  }
  virtual int SetAffinity(pid_t host_tid, const cpu_set_t& cores) {
    return sched_setaffinity(host_tid, sizeof cores, &cores) == 0 ? 0 : errno;
  }

  // First address past the guest's own: mappings of the guest end at or below it.
  virtual uint64_t task_size() const = 0;

  // Where the host's vDSO image begins in every guest (for AT_SYSINFO_EHDR), and the whole range
  // with its data pages; 0 where there is none. Outside [0, task_size).
  virtual uint64_t vdso_start() const = 0;

  // Bytes that StoreFpState writes: the XSAVE area of the host's signal frame with its magic
  // trailer, 64-byte aligned. The first 512 bytes are struct _fpstate's.
  virtual size_t fp_state_size() const = 0;
};

}  // namespace cloister::platform

#endif  // CLOISTER_PLATFORM_API_PLATFORM_H_
