#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/error/status.h"
#include "runsc/cgroup/stats.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"
#include "runsc/spec/json_field.h"

namespace cloister::cmd {
namespace {

absl::StatusOr<int> Follow(const container::Container& container, absl::Duration interval) {
  const std::string& id = container.state().id;
  const cgroup::Group group = container.Groups();
  uint64_t killed = cgroup::OomKills(group);
  while (container.Status() != spec::Status::kStopped) {
    const uint64_t now = cgroup::OomKills(group);
    if (now != killed) printf("{\"type\":\"oom\",\"id\":%s}\n", spec::JsonQuote(id).c_str());
    killed = now;
    printf("%s\n", cgroup::FormatStats(group, id).c_str());
    // A reader that has gone ends this.
    if (fflush(stdout) != 0) return 0;
    if (container.AwaitEnd(interval).ok()) break;
  }
  return 0;
}

}  // namespace

absl::StatusOr<int> RunEvents(const Globals& globals, const Args& args) {
  bool once = false;
  std::string interval_text = "5s";
  Flags flags("runsc events", "[options] ID",
              "Prints what a container uses, and when memory runs out, as JSON.");
  flags.Bool("stats", &once, "print once");
  flags.String("interval", &interval_text, "how often to print, as in 5s");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "events", 1, 1));
  absl::Duration interval;
  if (!absl::ParseDuration(interval_text, &interval) || interval <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("duration interval must be greater than 0");
  }
  const container::Container container =
      TRY_STATUS(container::Container::Open(globals.runtime.root, flags.positionals()[0]));
  if (container.Status() == spec::Status::kStopped) {
    return absl::FailedPreconditionError(
        absl::StrCat("container with id ", container.state().id, " is not running"));
  }
  if (!once) return Follow(container, interval);
  printf("%s\n", cgroup::FormatStats(container.Groups(), container.state().id).c_str());
  return 0;
}

}  // namespace cloister::cmd
