#ifndef CLOISTER_RUNSC_CMD_REPORT_H_
#define CLOISTER_RUNSC_CMD_REPORT_H_

#include <string>
#include <string_view>

namespace cloister::cmd {

// Where a failure goes besides standard error: --log and --log-format.
struct ErrorLog {
  std::string path;  // empty: none
  bool json = false;
};

// Exactly one line on standard error and one record in the log, which is made where it is missing.
void ReportError(const ErrorLog& log, std::string_view message);

// One record as it stands in the log, with its newline. time: RFC 3339.
std::string FormatRecord(bool json, std::string_view message, std::string_view time);

}  // namespace cloister::cmd

#endif  // CLOISTER_RUNSC_CMD_REPORT_H_
