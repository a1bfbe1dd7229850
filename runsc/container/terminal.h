#ifndef CLOISTER_RUNSC_CONTAINER_TERMINAL_H_
#define CLOISTER_RUNSC_CONTAINER_TERMINAL_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runsc/sandbox/pty.h"
#include "runsc/spec/spec.h"

namespace cloister::container {

// The descriptors that a process of the container starts with. Borrowed, but for the pty.
struct Stdio {
  std::optional<sandbox::Pty> pty;
  std::vector<int> fds;        // stdin, stdout, stderr; with a terminal its slave side alone
  std::vector<int> preserved;  // 3 and up
};

// Checks the combination as runc does: a terminal needs somebody who keeps its master, which is the
// console socket or an attached caller; a socket needs a terminal.
absl::StatusOr<Stdio> MakeStdio(const spec::Process& process, const std::string& console_socket,
                                bool attached, int preserve_fds);

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_TERMINAL_H_
