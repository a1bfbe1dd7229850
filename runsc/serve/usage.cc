#include "runsc/serve/usage.h"

#include <signal.h>

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cloister::serve {
namespace {

uint64_t Number(absl::string_view text) {
  uint64_t number = 0;
  return absl::SimpleAtoi(text, &number) ? number : 0;
}

}  // namespace

uint64_t CpuMicroseconds(const cgroup::Group& group) {
  if (group.HasV1("cpuacct")) return Number(group.Read("cpuacct", "cpuacct.usage")) / 1000;
  const std::string stat = group.Read("cpu", "cpu.stat");
  for (absl::string_view line : absl::StrSplit(stat, '\n')) {
    if (absl::ConsumePrefix(&line, "usage_usec ")) return Number(line);
  }
  return 0;
}

uint64_t PeakMemory(const cgroup::Group& group) {
  return Number(group.HasV1("memory") ? group.Read("memory", "memory.max_usage_in_bytes")
                                      : group.Read("memory", "memory.peak"));
}

void KillAll(const cgroup::Group& group) {
  const std::string pids = group.Read("memory", "cgroup.procs");
  for (const absl::string_view line : absl::StrSplit(pids, '\n', absl::SkipEmpty())) {
    int pid = 0;
    if (absl::SimpleAtoi(line, &pid) && pid > 1) kill(pid, SIGKILL);
  }
}

bool CountsSwap(const cgroup::Group& group) {
  return !(group.HasV1("memory") ? group.Read("memory", "memory.memsw.limit_in_bytes")
                                 : group.Read("memory", "memory.swap.max"))
              .empty();
}

}  // namespace cloister::serve
