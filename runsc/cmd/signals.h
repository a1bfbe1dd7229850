#ifndef CLOISTER_RUNSC_CMD_SIGNALS_H_
#define CLOISTER_RUNSC_CMD_SIGNALS_H_

#include <string>

#include "absl/status/statusor.h"

namespace cloister::cmd {

// "TERM", "SIGTERM", "15", "0", "RTMIN+3" to the number of a signal(7).
absl::StatusOr<int> ParseSignal(const std::string& text);

}  // namespace cloister::cmd

#endif  // CLOISTER_RUNSC_CMD_SIGNALS_H_
