#ifndef CLOISTER_PLATFORM_FILTER_STUB_FILTER_H_
#define CLOISTER_PLATFORM_FILTER_STUB_FILTER_H_

#include <linux/filter.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace cloister::filter {

struct StubFilterOptions {
  uint64_t gate_return = 0;  // the instruction pointer that the host sees for a call by the gate
  uint32_t doorbell_nr = 0;
  uint32_t boot_fd = 0;        // sendmsg(2) is allowed on this descriptor only
  uint32_t first_lent_fd = 0;  // close_range(2) is allowed from here on
};

// The seccomp filter of every stub process. The guest may call through the gate with any
// arguments, so what is allowed there must be harmless to everyone but the guest itself.
//
//   not from the gate, or not an x86-64 call      TRAP: a guest's syscall (or a 32-bit one)
//   doorbell, clone                               USER_NOTIF
//   mmap of private anonymous memory, plain flags ALLOW
//   mmap else                                     USER_NOTIF: a file, or shared memory
//   mremap that does not grow                     ALLOW
//   mremap that grows                             USER_NOTIF: it would reach on into the file behind
//   munmap, mprotect (rwx), madvise (harmless advice), arch_prctl (FS and GS base),
//   rt_sigreturn, close(_range), exit, exit_group         ALLOW
//   sendmsg on the boot socket                    ALLOW
//   everything else                               ENOSYS
absl::StatusOr<std::vector<sock_filter>> BuildStubFilter(const StubFilterOptions& options);

}  // namespace cloister::filter

#endif  // CLOISTER_PLATFORM_FILTER_STUB_FILTER_H_
