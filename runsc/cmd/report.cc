#include "runsc/cmd/report.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/host/unique_fd.h"
#include "runsc/spec/json_field.h"

namespace cloister::cmd {
namespace {

void WriteAll(int fd, const std::string& text) {
  [[maybe_unused]] const ssize_t written = write(fd, text.data(), text.size());
}

}  // namespace

std::string FormatRecord(bool json, std::string_view message, std::string_view time) {
  const std::string quoted = spec::JsonQuote(message);
  const absl::string_view when(time.data(), time.size());
  if (json) return absl::StrCat(R"({"level":"error","msg":)", quoted, R"(,"time":")", when, "\"}\n");
  return absl::StrCat("time=\"", when, "\" level=error msg=", quoted, "\n");
}

void ReportError(const ErrorLog& log, std::string_view message) {
  WriteAll(STDERR_FILENO, absl::StrCat("runsc: ", absl::string_view(message.data(), message.size()), "\n"));
  if (log.path.empty()) return;
  const UniqueFd file(open(log.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!file.ok()) return;
  const std::string now = absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
  WriteAll(file.get(), FormatRecord(log.json, message, now));
}

}  // namespace cloister::cmd
