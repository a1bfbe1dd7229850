#ifndef CLOISTER_PLATFORM_FILTER_STUB_FILTER_H_
#define CLOISTER_PLATFORM_FILTER_STUB_FILTER_H_

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace cloister::filter {

struct StubFilterOptions {
  uint64_t gate_return = 0;  // the instruction pointer that the host sees for a call by the gate
  uint32_t doorbell_nr = 0;
  uint32_t boot_fd = 0;        // sendmsg(2) is allowed on this descriptor only
  uint32_t first_lent_fd = 0;  // pread(2) and private mappings are allowed from here on
};

// What happens to a host call that comes from the stub's gate. Everything that does not come from
// there, or is no x86-64 call, is the guest's own and traps into the sentry.
enum class StubAction : uint8_t {
  kAllow,
  kNotify,      // waits for the sentry's word, which looks at the arguments
  kMmap,        // private memory with plain flags, anonymous or of a lent file: allowed; else kNotify
  kMremap,      // what does not grow: allowed; else kNotify, as it would reach on into a file
  kMprotect,    // read, write, execute: allowed; other bits: ENOSYS
  kMadvise,     // harmless advice: allowed; else ENOSYS
  kArchPrctl,   // FS and GS base: allowed; else ENOSYS
  kPread,       // of the descriptors that the sentry lends: allowed; else ENOSYS
  kCloseRange,  // without flags: allowed; else ENOSYS
  kFutex,       // waiting, without further flags: allowed; else ENOSYS
  kSendmsg,     // on the boot socket: allowed; else ENOSYS
};

struct StubRule {
  int nr;
  const char* name;
  StubAction action;
  const char* reason;
};

// The whole list: the filter is made from it. What is not on it answers ENOSYS.
std::span<const StubRule> StubRules();

// The seccomp filter of every stub process. The guest may call through the gate with any
// arguments, so what is allowed there must be harmless to everyone but the guest itself. The
// doorbell goes to USER_NOTIF besides: a number that is no system call.
absl::StatusOr<std::vector<sock_filter>> BuildStubFilter(const StubFilterOptions& options);

}  // namespace cloister::filter

#endif  // CLOISTER_PLATFORM_FILTER_STUB_FILTER_H_
