#include "runsc/shim/usage.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error/status.h"
#include "runsc/shim/api/metrics.pb.h"
#include "runsc/spec/spec.h"

namespace cloister::shim {
namespace {

constexpr uint64_t kNsPerTick = 10'000'000;  // USER_HZ is 100 on every architecture

using Table = std::map<std::string, uint64_t>;

// The kernel's "max" is the largest number.
uint64_t Number(absl::string_view text) {
  uint64_t number = 0;
  if (text == "max") return UINT64_MAX;
  return absl::SimpleAtoi(text, &number) ? number : 0;
}

// "name value" lines.
Table ReadTable(const cgroup::Group& group, const std::string& controller, const std::string& file) {
  Table table;
  for (const absl::string_view line : absl::StrSplit(group.Read(controller, file), '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    table.emplace(parts.first, Number(parts.second));
  }
  return table;
}

uint64_t Of(const Table& table, const char* name) {
  const auto found = table.find(name);
  return found != table.end() ? found->second : 0;
}

api::Pids ReadPids(const cgroup::Group& group) {
  api::Pids pids;
  pids.set_current(Number(group.Read("pids", "pids.current")));
  const uint64_t limit = Number(group.Read("pids", "pids.max"));
  pids.set_limit(limit == UINT64_MAX ? 0 : limit);
  return pids;
}

api::CpuV1 ReadCpuV1(const cgroup::Group& group) {
  api::CpuV1 cpu;
  const Table split = ReadTable(group, "cpuacct", "cpuacct.stat");
  cpu.mutable_usage()->set_total(Number(group.Read("cpuacct", "cpuacct.usage")));
  cpu.mutable_usage()->set_kernel(Of(split, "system") * kNsPerTick);
  cpu.mutable_usage()->set_user(Of(split, "user") * kNsPerTick);
  const std::string each = group.Read("cpuacct", "cpuacct.usage_percpu");
  for (const absl::string_view one : absl::StrSplit(each, ' ', absl::SkipEmpty())) {
    cpu.mutable_usage()->add_per_cpu(Number(one));
  }
  const Table throttling = ReadTable(group, "cpu", "cpu.stat");
  cpu.mutable_throttling()->set_periods(Of(throttling, "nr_periods"));
  cpu.mutable_throttling()->set_throttled_periods(Of(throttling, "nr_throttled"));
  cpu.mutable_throttling()->set_throttled_time(Of(throttling, "throttled_time"));
  return cpu;
}

api::MemoryEntryV1 ReadEntryV1(const cgroup::Group& group, const std::string& prefix) {
  api::MemoryEntryV1 entry;
  entry.set_limit(Number(group.Read("memory", prefix + ".limit_in_bytes")));
  entry.set_usage(Number(group.Read("memory", prefix + ".usage_in_bytes")));
  entry.set_max(Number(group.Read("memory", prefix + ".max_usage_in_bytes")));
  entry.set_failcnt(Number(group.Read("memory", prefix + ".failcnt")));
  return entry;
}

api::MemoryV1 ReadMemoryV1(const cgroup::Group& group) {
  api::MemoryV1 memory;
  const Table stat = ReadTable(group, "memory", "memory.stat");
#define STAT(field) memory.set_##field(Of(stat, #field))
  STAT(cache), STAT(rss), STAT(rss_huge), STAT(mapped_file), STAT(dirty), STAT(writeback), STAT(pgpgin);
  STAT(pgpgout), STAT(pgfault), STAT(pgmajfault), STAT(inactive_anon), STAT(active_anon), STAT(inactive_file);
  STAT(active_file), STAT(unevictable), STAT(hierarchical_memory_limit), STAT(hierarchical_memsw_limit);
  STAT(total_cache), STAT(total_rss), STAT(total_rss_huge), STAT(total_mapped_file), STAT(total_dirty);
  STAT(total_writeback), STAT(total_pgpgin), STAT(total_pgpgout), STAT(total_pgfault), STAT(total_pgmajfault);
  STAT(total_inactive_anon), STAT(total_active_anon), STAT(total_inactive_file), STAT(total_active_file);
  STAT(total_unevictable);
#undef STAT
  *memory.mutable_usage() = ReadEntryV1(group, "memory");
  *memory.mutable_swap() = ReadEntryV1(group, "memory.memsw");
  *memory.mutable_kernel() = ReadEntryV1(group, "memory.kmem");
  *memory.mutable_kernel_tcp() = ReadEntryV1(group, "memory.kmem.tcp");
  return memory;
}

// "254:0 Read 4096" lines.
void ReadOperations(const cgroup::Group& group, const char* file,
                    google::protobuf::RepeatedPtrField<api::BlkioEntryV1>* entries) {
  for (const absl::string_view line : absl::StrSplit(group.Read("blkio", file), '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(": "));
    if (words.size() != 4) continue;
    api::BlkioEntryV1* entry = entries->Add();
    entry->set_major(Number(words[0]));
    entry->set_minor(Number(words[1]));
    entry->set_op(std::string(words[2]));
    entry->set_value(Number(words[3]));
  }
}

api::MetricsV1 ReadV1(const cgroup::Group& group) {
  api::MetricsV1 metrics;
  *metrics.mutable_pids() = ReadPids(group);
  *metrics.mutable_cpu() = ReadCpuV1(group);
  *metrics.mutable_memory() = ReadMemoryV1(group);
  ReadOperations(group, "blkio.throttle.io_service_bytes_recursive",
                 metrics.mutable_blkio()->mutable_io_service_bytes_recursive());
  ReadOperations(group, "blkio.throttle.io_serviced_recursive",
                 metrics.mutable_blkio()->mutable_io_serviced_recursive());
  const Table oom = ReadTable(group, "memory", "memory.oom_control");
  metrics.mutable_memory_oom_control()->set_oom_kill_disable(Of(oom, "oom_kill_disable"));
  metrics.mutable_memory_oom_control()->set_under_oom(Of(oom, "under_oom"));
  metrics.mutable_memory_oom_control()->set_oom_kill(Of(oom, "oom_kill"));
  return metrics;
}

api::MemoryV2 ReadMemoryV2(const cgroup::Group& group) {
  api::MemoryV2 memory;
  const Table stat = ReadTable(group, "memory", "memory.stat");
#define STAT(field) memory.set_##field(Of(stat, #field))
  STAT(anon), STAT(file), STAT(kernel_stack), STAT(slab), STAT(sock), STAT(shmem), STAT(file_mapped);
  STAT(file_dirty), STAT(file_writeback), STAT(anon_thp), STAT(inactive_anon), STAT(active_anon);
  STAT(inactive_file), STAT(active_file), STAT(unevictable), STAT(slab_reclaimable), STAT(slab_unreclaimable);
  STAT(pgfault), STAT(pgmajfault);
#undef STAT
  memory.set_usage(Number(group.Read("memory", "memory.current")));
  memory.set_usage_limit(Number(group.Read("memory", "memory.max")));
  memory.set_swap_usage(Number(group.Read("memory", "memory.swap.current")));
  memory.set_swap_limit(Number(group.Read("memory", "memory.swap.max")));
  return memory;
}

// "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 …" lines.
void ReadIoV2(const cgroup::Group& group, api::IoV2* io) {
  for (const absl::string_view line : absl::StrSplit(group.Read("io", "io.stat"), '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    const std::pair<absl::string_view, absl::string_view> device =
        absl::StrSplit(words[0], absl::MaxSplits(':', 1));
    Table values;
    for (const absl::string_view word : words) {
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(word, absl::MaxSplits('=', 1));
      values.emplace(parts.first, Number(parts.second));
    }
    api::IoEntryV2* entry = io->add_usage();
    entry->set_major(Number(device.first));
    entry->set_minor(Number(device.second));
    entry->set_rbytes(Of(values, "rbytes"));
    entry->set_wbytes(Of(values, "wbytes"));
    entry->set_rios(Of(values, "rios"));
    entry->set_wios(Of(values, "wios"));
  }
}

api::MetricsV2 ReadV2(const cgroup::Group& group) {
  api::MetricsV2 metrics;
  *metrics.mutable_pids() = ReadPids(group);
  const Table cpu = ReadTable(group, "cpu", "cpu.stat");
  metrics.mutable_cpu()->set_usage_usec(Of(cpu, "usage_usec"));
  metrics.mutable_cpu()->set_user_usec(Of(cpu, "user_usec"));
  metrics.mutable_cpu()->set_system_usec(Of(cpu, "system_usec"));
  metrics.mutable_cpu()->set_nr_periods(Of(cpu, "nr_periods"));
  metrics.mutable_cpu()->set_nr_throttled(Of(cpu, "nr_throttled"));
  metrics.mutable_cpu()->set_throttled_usec(Of(cpu, "throttled_usec"));
  *metrics.mutable_memory() = ReadMemoryV2(group);
  ReadIoV2(group, metrics.mutable_io());
  const Table events = ReadTable(group, "memory", "memory.events");
  metrics.mutable_memory_events()->set_low(Of(events, "low"));
  metrics.mutable_memory_events()->set_high(Of(events, "high"));
  metrics.mutable_memory_events()->set_max(Of(events, "max"));
  metrics.mutable_memory_events()->set_oom(Of(events, "oom"));
  metrics.mutable_memory_events()->set_oom_kill(Of(events, "oom_kill"));
  return metrics;
}

}  // namespace

cgroup::Group ParseGroup(std::string_view mountinfo, std::string_view cgroup) {
  cgroup::Group::Directories directories;
  for (const cgroup::Hierarchy& hierarchy : cgroup::ParseHierarchies(mountinfo, cgroup)) {
    const std::string directory = hierarchy.mount + (hierarchy.own == "/" ? "" : hierarchy.own);
    if (hierarchy.unified()) directories[""] = directory;
    for (const std::string& controller : hierarchy.controllers) directories[controller] = directory;
  }
  return cgroup::Group(std::move(directories));
}

absl::StatusOr<cgroup::Group> GroupOf(pid_t pid) {
  const std::string mountinfo = TRY_STATUS(spec::ReadTextFile("/proc/self/mountinfo"));
  return ParseGroup(mountinfo, TRY_STATUS(spec::ReadTextFile(absl::StrCat("/proc/", pid, "/cgroup"))));
}

api::Any ReadUsage(const cgroup::Group& group) {
  api::Any usage;
  if (group.HasV1("memory")) {
    usage.set_type_url("io.containerd.cgroups.v1.Metrics");
    usage.set_value(ReadV1(group).SerializeAsString());
    return usage;
  }
  usage.set_type_url("io.containerd.cgroups.v2.Metrics");
  usage.set_value(ReadV2(group).SerializeAsString());
  return usage;
}

}  // namespace cloister::shim
