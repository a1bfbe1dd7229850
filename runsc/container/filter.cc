#include "runsc/container/filter.h"

#include "base/error/status.h"
#include "runsc/seccomp/compile.h"

namespace cloister::container {

absl::Status PutFilter(const spec::Spec& spec, control::Process* process) {
  if (!spec.seccomp.has_value()) return absl::OkStatus();
  const std::vector<sock_filter> code = TRY_STATUS(seccomp::Compile(*spec.seccomp));
  process->set_seccomp_filter(code.data(), code.size() * sizeof(sock_filter));
  process->set_seccomp_flags(spec.seccomp->flags);
  return absl::OkStatus();
}

}  // namespace cloister::container
