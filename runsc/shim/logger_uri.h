#ifndef CLOISTER_RUNSC_SHIM_LOGGER_URI_H_
#define CLOISTER_RUNSC_SHIM_LOGGER_URI_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace cloister::shim {

// "binary:///usr/bin/logger?key=value&flag": a program, and its arguments in the URI's order
// ("key", "value", "flag"). %XX stands for a byte, + for a space.
struct LoggerUri {
  std::string path;
  std::vector<std::string> args;
};

absl::StatusOr<LoggerUri> ParseLoggerUri(std::string_view uri);

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_LOGGER_URI_H_
