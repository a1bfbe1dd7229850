#ifndef CLOISTER_BASE_LOG_LOG_H_
#define CLOISTER_BASE_LOG_LOG_H_

#include <string_view>

#include "absl/strings/str_format.h"

namespace cloister {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Where this process' records go, and from which level on. The descriptor is borrowed for the
// life of the process; -1 drops everything (the state before the first call).
// A record is "2026-11-24T03:50:12.345678Z sentry W message". Times are UTC; no time zone file is read.
void StartLog(int fd, LogLevel least, std::string_view process_name);

bool LogEnabled(LogLevel level);

// Writes one record. Thread-safe. Not for signal handlers.
void WriteLog(LogLevel level, std::string_view message);

}  // namespace cloister

// LOG(kInfo, "mounted %s on %s", a, b): absl::StrFormat, evaluated only where the level is on.
#define LOG(level, ...)                                                                \
  do {                                                                                 \
    if (::cloister::LogEnabled(::cloister::LogLevel::level)) {                         \
      ::cloister::WriteLog(::cloister::LogLevel::level, absl::StrFormat(__VA_ARGS__)); \
    }                                                                                  \
  } while (false)

#endif  // CLOISTER_BASE_LOG_LOG_H_
