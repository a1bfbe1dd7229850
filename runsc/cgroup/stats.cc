#include "runsc/cgroup/stats.h"

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cloister::cgroup {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kNsPerTick = 10'000'000;  // USER_HZ is 100 on every architecture
constexpr uint64_t kNsPerMicrosecond = 1000;

uint64_t Number(absl::string_view text) {
  uint64_t number = 0;
  if (text == "max") return UINT64_MAX;
  return absl::SimpleAtoi(text, &number) ? number : 0;
}

// "name value" lines.
std::map<std::string, uint64_t> Table(const std::string& text) {
  std::map<std::string, uint64_t> table;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    table.emplace(parts.first, Number(parts.second));
  }
  return table;
}

uint64_t Of(const std::map<std::string, uint64_t>& table, const char* name) {
  const auto found = table.find(name);
  return found != table.end() ? found->second : 0;
}

class Reader {
 public:
  explicit Reader(const Group& group) : group_(group) {}

  Json Cpu() const { return group_.HasV1("cpuacct") ? CpuV1() : CpuV2(); }
  Json Memory() const { return group_.HasV1("memory") ? MemoryV1() : MemoryV2(); }

  Json Pids() const {
    const uint64_t limit = Number(group_.Read("pids", "pids.max"));
    return {{"current", Number(group_.Read("pids", "pids.current"))},
            {"limit", limit == UINT64_MAX ? 0 : limit}};
  }

  Json BlockIo() const {
    Json io = Json::object();
    if (!group_.HasV1("blkio")) return io;
    io["ioServiceBytesRecursive"] = Operations("blkio.throttle.io_service_bytes_recursive");
    io["ioServicedRecursive"] = Operations("blkio.throttle.io_serviced_recursive");
    return io;
  }

 private:
  Json CpuV1() const {
    Json percpu = Json::array();
    const std::string text = group_.Read("cpuacct", "cpuacct.usage_percpu");
    for (const absl::string_view one : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
      percpu.push_back(Number(one));
    }
    const auto split = Table(group_.Read("cpuacct", "cpuacct.stat"));
    const auto throttling = Table(group_.Read("cpu", "cpu.stat"));
    return {{"usage",
             {{"total", Number(group_.Read("cpuacct", "cpuacct.usage"))},
              {"percpu", percpu},
              {"kernel", Of(split, "system") * kNsPerTick},
              {"user", Of(split, "user") * kNsPerTick}}},
            {"throttling",
             {{"periods", Of(throttling, "nr_periods")},
              {"throttledPeriods", Of(throttling, "nr_throttled")},
              {"throttledTime", Of(throttling, "throttled_time")}}}};
  }

  Json CpuV2() const {
    const auto stat = Table(group_.Read("cpu", "cpu.stat"));
    return {{"usage",
             {{"total", Of(stat, "usage_usec") * kNsPerMicrosecond},
              {"percpu", Json::array()},
              {"kernel", Of(stat, "system_usec") * kNsPerMicrosecond},
              {"user", Of(stat, "user_usec") * kNsPerMicrosecond}}},
            {"throttling",
             {{"periods", Of(stat, "nr_periods")},
              {"throttledPeriods", Of(stat, "nr_throttled")},
              {"throttledTime", Of(stat, "throttled_usec") * kNsPerMicrosecond}}}};
  }

  Json EntryV1(const std::string& prefix) const {
    return {{"limit", Number(group_.Read("memory", absl::StrCat(prefix, ".limit_in_bytes")))},
            {"usage", Number(group_.Read("memory", absl::StrCat(prefix, ".usage_in_bytes")))},
            {"max", Number(group_.Read("memory", absl::StrCat(prefix, ".max_usage_in_bytes")))},
            {"failcnt", Number(group_.Read("memory", absl::StrCat(prefix, ".failcnt")))}};
  }

  Json MemoryV1() const {
    const auto raw = Table(group_.Read("memory", "memory.stat"));
    return {{"cache", Of(raw, "cache")},
            {"usage", EntryV1("memory")},
            {"swap", EntryV1("memory.memsw")},
            {"kernel", EntryV1("memory.kmem")},
            {"kernelTCP", EntryV1("memory.kmem.tcp")},
            {"raw", raw}};
  }

  Json EntryV2(const std::string& prefix) const {
    return {{"limit", Number(group_.Read("memory", absl::StrCat(prefix, ".max")))},
            {"usage", Number(group_.Read("memory", absl::StrCat(prefix, ".current")))},
            {"max", Number(group_.Read("memory", absl::StrCat(prefix, ".peak")))},
            {"failcnt", Of(Table(group_.Read("memory", absl::StrCat(prefix, ".events"))), "max")}};
  }

  Json MemoryV2() const {
    const auto raw = Table(group_.Read("memory", "memory.stat"));
    return {{"cache", Of(raw, "file")}, {"usage", EntryV2("memory")},  {"swap", EntryV2("memory.swap")},
            {"kernel", Json::object()}, {"kernelTCP", Json::object()}, {"raw", raw}};
  }

  // "254:0 Read 4096" lines.
  Json Operations(const char* file) const {
    Json operations = Json::array();
    for (const absl::string_view line : absl::StrSplit(group_.Read("blkio", file), '\n', absl::SkipEmpty())) {
      const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(": "));
      if (words.size() != 4) continue;
      operations.push_back({{"major", Number(words[0])},
                            {"minor", Number(words[1])},
                            {"op", std::string(words[2])},
                            {"value", Number(words[3])}});
    }
    return operations;
  }

  const Group& group_;
};

}  // namespace

std::string FormatStats(const Group& group, const std::string& id) {
  const Reader reader(group);
  const Json line = {{"type", "stats"},
                     {"id", id},
                     {"data",
                      {{"cpu", reader.Cpu()},
                       {"memory", reader.Memory()},
                       {"pids", reader.Pids()},
                       {"blkio", reader.BlockIo()},
                       {"hugetlb", Json::object()},
                       {"network_interfaces", Json::array()}}}};
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

uint64_t OomKills(const Group& group) {
  const char* file = group.HasV1("memory") ? "memory.oom_control" : "memory.events";
  return Of(Table(group.Read("memory", file)), "oom_kill");
}

}  // namespace cloister::cgroup
