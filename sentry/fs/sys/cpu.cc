#include "sentry/fs/sys/cpu.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sentry/task/thread_group.h"

namespace cloister::sys {
namespace {

constexpr uint32_t kKernelMax = 8191;  // Linux: NR_CPUS - 1 as distributions build it
constexpr uint32_t kLineBytes = 64;

struct Cache {
  int level;
  const char* type;
  uint32_t kilobytes;
  uint32_t ways;
  bool shared;  // by all CPUs
};

// /proc/cpuinfo tells one size: of the second level on AMD, of the last on Intel. The others are
// what such machines commonly have.
std::vector<Cache> CachesOf(const task::Machine& machine) {
  constexpr uint32_t kFirstLevel = 32, kSecondLevel = 1024;
  const bool amd = machine.cpu_vendor == "AuthenticAMD" || machine.cpu_vendor == "HygonGenuine";
  const uint32_t told = machine.cpu_cache_kb;
  std::vector<Cache> caches = {{1, "Data", kFirstLevel, 8, false}, {1, "Instruction", kFirstLevel, 8, false}};
  caches.push_back({2, "Unified", amd && told != 0 ? told : kSecondLevel, 8, false});
  if (!amd && told > kSecondLevel) caches.push_back({3, "Unified", told, 16, true});
  return caches;
}

void FillCache(const Cache& cache, uint32_t cpu, uint32_t cpus, Folder& folder) {
  const uint32_t first = cache.shared ? 0 : cpu;
  const uint32_t end = cache.shared ? cpus : cpu + 1;
  folder.AddText("level", absl::StrCat(cache.level));
  folder.AddText("type", std::string(cache.type));
  folder.AddText("size", absl::StrCat(cache.kilobytes, "K"));
  folder.AddText("coherency_line_size", absl::StrCat(kLineBytes));
  folder.AddText("ways_of_associativity", absl::StrCat(cache.ways));
  folder.AddText("number_of_sets", absl::StrCat(cache.kilobytes * 1024 / (kLineBytes * cache.ways)));
  folder.AddText("physical_line_partition", "1");
  folder.AddText("id", absl::StrCat(first));
  folder.AddText("shared_cpu_list", cache.shared ? CpuList(cpus) : absl::StrCat(cpu));
  folder.AddText("shared_cpu_map", CpuMap(first, end, cpus));
}

void FillTopology(uint32_t cpu, uint32_t cpus, Folder& folder) {
  const std::string own_map = CpuMap(cpu, cpu + 1, cpus);
  const std::string all_map = CpuMap(0, cpus, cpus);
  folder.AddText("core_id", absl::StrCat(cpu));
  folder.AddText("physical_package_id", "0");
  folder.AddText("die_id", "0");
  for (const char* name : {"thread_siblings", "core_cpus"}) {
    folder.AddText(name, own_map);
    folder.AddText(absl::StrCat(name, "_list"), absl::StrCat(cpu));
  }
  for (const char* name : {"core_siblings", "package_cpus", "die_cpus"}) {
    folder.AddText(name, all_map);
    folder.AddText(absl::StrCat(name, "_list"), CpuList(cpus));
  }
}

void FillCpu(const task::Machine& machine, uint32_t cpu, Folder& folder) {
  const uint32_t cpus = machine.cpus;
  folder.AddFolder("topology", [=](Folder& topology) { FillTopology(cpu, cpus, topology); });
  folder.AddFolder("cache", [&machine, cpu](Folder& caches) {
    int index = 0;
    for (const Cache& cache : CachesOf(machine)) {
      const auto fill = [cache, cpu, count = machine.cpus](Folder& one) {
        FillCache(cache, cpu, count, one);
      };
      caches.AddFolder(absl::StrCat("index", index++), fill);
    }
  });
  // Linux: the first CPU cannot be taken offline, and does not have the file.
  if (cpu != 0) folder.AddText("online", "1");
  folder.AddLink("node0", "../../node/node0");
  folder.AddLink("subsystem", "../../../../bus/cpu");
}

// Linux: node_read_meminfo. Memory in use is what the processes have mapped, as sysinfo(2) says.
std::string NodeMemory(task::Kernel& kernel) {
  const uint64_t total = kernel.machine().total_memory;
  uint64_t used = 0;
  for (const Ref<task::ThreadGroup>& group : kernel.Groups()) used += group->ResidentBytes();
  used = std::min(used, total);
  std::string text;
  const auto line = [&text](const char* name, uint64_t bytes) {
    absl::StrAppendFormat(&text, "Node 0 %-16s%8u kB\n", absl::StrCat(name, ":"), bytes / 1024);
  };
  line("MemTotal", total);
  line("MemFree", total - used);
  line("MemUsed", used);
  for (const char* none : {"Active", "Inactive", "Dirty", "Writeback", "FilePages", "Shmem", "Slab"})
    line(none, 0);
  line("AnonPages", used);
  for (const char* pages : {"HugePages_Total", "HugePages_Free", "HugePages_Surp"})
    absl::StrAppendFormat(&text, "Node 0 %s: %5u\n", pages, 0u);
  return text;
}

void FillNode(task::Kernel& kernel, Folder& node) {
  const uint32_t cpus = kernel.machine().cpus;
  node.AddText("cpulist", CpuList(cpus));
  node.AddText("cpumap", CpuMap(0, cpus, cpus));
  node.AddText("distance", "10");
  node.AddText("meminfo", [&kernel]() -> ErrnoOr<std::string> { return NodeMemory(kernel); });
  node.AddText("numastat",
               "numa_hit 0\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node 0\nother_node 0");
  node.AddFolder("hugepages");
  for (uint32_t cpu = 0; cpu < cpus; ++cpu)
    node.AddLink(absl::StrCat("cpu", cpu), absl::StrCat("../../cpu/cpu", cpu));
  node.AddLink("subsystem", "../../../../bus/node");
}

}  // namespace

std::string CpuList(uint32_t count) { return count == 1 ? "0" : absl::StrCat("0-", count - 1); }

std::string CpuMap(uint32_t first, uint32_t end, uint32_t count) {
  std::string text;
  for (uint32_t group = (count + 31) / 32; group-- > 0;) {
    uint32_t bits = 0;
    for (uint32_t bit = 0; bit < 32; ++bit) {
      const uint32_t cpu = group * 32 + bit;
      if (cpu >= first && cpu < end) bits |= 1u << bit;
    }
    // The highest group has as many digits as its CPUs need.
    const uint32_t wide = std::min(count - group * 32, 32u);
    absl::StrAppendFormat(&text, "%s%0*x", text.empty() ? "" : ",", static_cast<int>((wide + 3) / 4), bits);
  }
  return text;
}

void FillCpus(const task::Machine& machine, Folder& cpus) {
  const std::string all = CpuList(machine.cpus);
  for (const char* name : {"online", "possible", "present"}) cpus.AddText(name, all);
  cpus.AddText("offline", "");
  cpus.AddText("isolated", "");
  cpus.AddText("kernel_max", absl::StrCat(kKernelMax));
  cpus.AddFolder("smt", [](Folder& smt) {
    smt.AddText("active", "0");
    smt.AddText("control", "notsupported");
  });
  for (uint32_t cpu = 0; cpu < machine.cpus; ++cpu) {
    cpus.AddFolder(absl::StrCat("cpu", cpu),
                   [&machine, cpu](Folder& folder) { FillCpu(machine, cpu, folder); });
  }
}

void FillNodes(task::Kernel& kernel, Folder& nodes) {
  for (const char* name : {"online", "possible", "has_cpu", "has_memory", "has_normal_memory"})
    nodes.AddText(name, "0");
  nodes.AddText("has_generic_initiator", "");
  nodes.AddFolder("node0", [&kernel](Folder& node) { FillNode(kernel, node); });
}

}  // namespace cloister::sys
