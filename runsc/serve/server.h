#ifndef CLOISTER_RUNSC_SERVE_SERVER_H_
#define CLOISTER_RUNSC_SERVE_SERVER_H_

#include <string>

#include "absl/status/status.h"
#include "runsc/serve/host.h"

namespace cloister::serve {

struct ServerOptions {
  std::string socket;
  int parallel = 1;        // sandboxes at once
  int most_waiting = 256;  // calls beyond them
  Host::Options host;
};

// Serves until SIGTERM, SIGINT or SIGHUP; then ends all sandboxes and leaves nothing behind. The process must
// have one thread, and is the caller's last act.
absl::Status Serve(const ServerOptions& options);

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_SERVER_H_
