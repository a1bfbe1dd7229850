#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/error/status.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"

namespace cloister::cmd {
namespace {

void PrintTable(const control::PsReply& processes) {
  printf("%-8s %7s %7s %-8s %-8s %8s %s\n", "UID", "PID", "PPID", "STIME", "TTY", "TIME", "CMD");
  for (const control::ProcessInfo& process : processes.processes()) {
    const absl::Time start = absl::FromUnixNanos(static_cast<int64_t>(process.start_time_ns()));
    const int64_t seconds = static_cast<int64_t>(process.cpu_ns() / 1'000'000'000);
    printf("%-8u %7d %7d %-8s %-8s %02d:%02d:%02d %s\n", process.uid(), process.pid(), process.ppid(),
           absl::FormatTime("%H:%M:%S", start, absl::UTCTimeZone()).c_str(),
           process.tty().empty() ? "?" : process.tty().c_str(), static_cast<int>(seconds / 3600),
           static_cast<int>(seconds / 60 % 60), static_cast<int>(seconds % 60), process.command().c_str());
  }
}

}  // namespace

absl::StatusOr<int> RunPs(const Globals& globals, const Args& args) {
  std::string format = "table";
  Flags flags(
      "runsc ps", "[options] ID",
      "Lists a container's processes: as a table by their own pids, as JSON by the host pids that stand for "
      "the first process and those of exec.");
  flags.StopAtPositional();
  flags.String("format,f", &format, "table or json");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "ps", 1, -1));
  if (format != "table" && format != "json") return absl::InvalidArgumentError("invalid format option");
  container::Container container =
      TRY_STATUS(container::Container::Open(globals.runtime.root, flags.positionals()[0]));
  if (format == "json") {
    if (container.Status() == spec::Status::kStopped)
      return absl::FailedPreconditionError("container not running");
    printf("[%s]\n", absl::StrJoin(container.MonitorPids(), ",").c_str());
    return 0;
  }
  PrintTable(TRY_STATUS(container.Processes()));
  return 0;
}

}  // namespace cloister::cmd
