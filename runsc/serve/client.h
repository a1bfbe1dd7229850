#ifndef CLOISTER_RUNSC_SERVE_CLIENT_H_
#define CLOISTER_RUNSC_SERVE_CLIENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "runsc/serve/serve.pb.h"

namespace cloister::serve {

// Sends the request, and shows the events: the command's streams on this process' own, all else on standard
// error; json: every event as a line of protobuf's JSON on standard output instead. Answers a status for a
// shell: the command's, 128 and the signal, or 124 if a limit ended it.
absl::StatusOr<int> ShowRun(const std::string& socket, const RunRequest& request, bool json);

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_CLIENT_H_
