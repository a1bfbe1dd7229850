#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {

std::vector<std::span<const Entry>> Themes() {
  return {
      IdentitySyscalls(), ProcessSyscalls(), SignalSyscalls(), TimeSyscalls(), SystemSyscalls(),
      PrctlSyscalls(), SchedulingSyscalls(),
  };
}

}  // namespace cloister::syscalls
