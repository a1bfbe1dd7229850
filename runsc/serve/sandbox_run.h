#ifndef CLOISTER_RUNSC_SERVE_SANDBOX_RUN_H_
#define CLOISTER_RUNSC_SERVE_SANDBOX_RUN_H_

#include "absl/status/status.h"
#include "runsc/serve/event_sink.h"
#include "runsc/serve/host.h"
#include "runsc/serve/serve.pb.h"

namespace cloister::serve {

// Runs a checked request in a sandbox of its own, from the first byte on disk to the last trace removed, and
// sends its events but for the first, `started`. Blocks; the sandbox dies with the calling thread. Not OK: no
// result was sent, see serve.proto for the codes; cancelled: the sink was.
absl::Status RunSandbox(const Host& host, const RunRequest& request, EventSink* sink);

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_SANDBOX_RUN_H_
