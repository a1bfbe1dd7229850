#include "runsc/cgroup/settings.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace cloister::cgroup {
namespace {

using spec::Resources;

class Settings {
 public:
  void Add(std::string controller, std::string file, std::string value, bool required = false) {
    list_.push_back({std::move(controller), std::move(file), std::move(value), required});
  }
  std::vector<Setting> Take() { return std::move(list_); }

 private:
  std::vector<Setting> list_;
};

// Linux: swap is memory and swap together in version 1, and in config.json; -1 is no limit.
void AddMemoryV1(const Resources& resources, Settings* settings) {
  int64_t swap = resources.memory_swap;
  if (resources.memory_limit == -1 && swap == 0) swap = -1;
  if (resources.memory_limit != 0) {
    settings->Add("memory", "memory.limit_in_bytes", absl::StrCat(resources.memory_limit), true);
  }
  if (swap != 0) settings->Add("memory", "memory.memsw.limit_in_bytes", absl::StrCat(swap));
  if (resources.memory_reservation != 0) {
    settings->Add("memory", "memory.soft_limit_in_bytes", absl::StrCat(resources.memory_reservation));
  }
  if (resources.memory_swappiness.has_value()) {
    settings->Add("memory", "memory.swappiness", absl::StrCat(*resources.memory_swappiness));
  }
  if (resources.disable_oom_killer) settings->Add("memory", "memory.oom_control", "1");
}

void AddCpuV1(const Resources& resources, Settings* settings) {
  if (resources.cpu_shares != 0) settings->Add("cpu", "cpu.shares", absl::StrCat(resources.cpu_shares));
  if (resources.cpu_period != 0) {
    settings->Add("cpu", "cpu.cfs_period_us", absl::StrCat(resources.cpu_period), true);
  }
  if (resources.cpu_quota != 0) {
    settings->Add("cpu", "cpu.cfs_quota_us", absl::StrCat(resources.cpu_quota), true);
  }
  if (resources.cpu_burst.has_value()) {
    settings->Add("cpu", "cpu.cfs_burst_us", absl::StrCat(*resources.cpu_burst));
  }
  if (resources.cpu_idle.has_value()) settings->Add("cpu", "cpu.idle", absl::StrCat(*resources.cpu_idle));
  if (resources.realtime_period != 0) {
    settings->Add("cpu", "cpu.rt_period_us", absl::StrCat(resources.realtime_period));
  }
  if (resources.realtime_runtime != 0) {
    settings->Add("cpu", "cpu.rt_runtime_us", absl::StrCat(resources.realtime_runtime));
  }
}

void AddCpuSet(const Resources& resources, Settings* settings) {
  if (!resources.cpus.empty()) settings->Add("cpuset", "cpuset.cpus", resources.cpus, true);
  if (!resources.mems.empty()) settings->Add("cpuset", "cpuset.mems", resources.mems, true);
}

void AddPids(const Resources& resources, Settings* settings) {
  if (resources.pids_limit == 0) return;
  const std::string value = resources.pids_limit < 0 ? "max" : absl::StrCat(resources.pids_limit);
  settings->Add("pids", "pids.max", value, true);
}

void AddRatesV1(const std::vector<spec::DeviceRate>& rates, const char* file, Settings* settings) {
  for (const spec::DeviceRate& rate : rates) {
    settings->Add("blkio", file, absl::StrCat(rate.major, ":", rate.minor, " ", rate.value));
  }
}

void AddBlockIoV1(const Resources& resources, Settings* settings) {
  if (resources.io_weight != 0) {
    settings->Add("blkio", "blkio.weight", absl::StrCat(resources.io_weight));
    settings->Add("blkio", "blkio.bfq.weight", absl::StrCat(resources.io_weight));
  }
  AddRatesV1(resources.io_weight_devices, "blkio.weight_device", settings);
  AddRatesV1(resources.read_bps, "blkio.throttle.read_bps_device", settings);
  AddRatesV1(resources.write_bps, "blkio.throttle.write_bps_device", settings);
  AddRatesV1(resources.read_iops, "blkio.throttle.read_iops_device", settings);
  AddRatesV1(resources.write_iops, "blkio.throttle.write_iops_device", settings);
}

void AddRatesV2(const std::vector<spec::DeviceRate>& rates, const char* key, Settings* settings) {
  for (const spec::DeviceRate& rate : rates) {
    settings->Add("io", "io.max", absl::StrCat(rate.major, ":", rate.minor, " ", key, "=", rate.value));
  }
}

void AddBlockIoV2(const Resources& resources, Settings* settings) {
  if (resources.io_weight != 0) {
    settings->Add("io", "io.bfq.weight", absl::StrCat(resources.io_weight));
    // 10 … 1000 there, 1 … 10000 here.
    settings->Add("io", "io.weight",
                  absl::StrCat(1 + (std::max<uint64_t>(resources.io_weight, 10) - 10) * 9999 / 990));
  }
  for (const spec::DeviceRate& rate : resources.io_weight_devices) {
    settings->Add("io", "io.bfq.weight", absl::StrCat(rate.major, ":", rate.minor, " ", rate.value));
  }
  AddRatesV2(resources.read_bps, "rbps", settings);
  AddRatesV2(resources.write_bps, "wbps", settings);
  AddRatesV2(resources.read_iops, "riops", settings);
  AddRatesV2(resources.write_iops, "wiops", settings);
}

std::string OrMax(int64_t value) { return value < 0 ? "max" : absl::StrCat(value); }

void AddMemoryV2(const Resources& resources, Settings* settings) {
  if (resources.memory_limit != 0) {
    settings->Add("memory", "memory.max", OrMax(resources.memory_limit), true);
  }
  // Version 2 counts swap alone. Without a limit on memory, swap cannot be told apart.
  if (resources.memory_swap < 0 || (resources.memory_limit < 0 && resources.memory_swap == 0)) {
    settings->Add("memory", "memory.swap.max", "max");
  } else if (resources.memory_swap > 0 && resources.memory_limit > 0) {
    const int64_t swap = std::max<int64_t>(resources.memory_swap - resources.memory_limit, 0);
    settings->Add("memory", "memory.swap.max", absl::StrCat(swap));
  }
  if (resources.memory_reservation != 0) {
    settings->Add("memory", "memory.low", OrMax(resources.memory_reservation));
  }
}

void AddCpuV2(const Resources& resources, Settings* settings) {
  if (resources.cpu_idle.has_value()) settings->Add("cpu", "cpu.idle", absl::StrCat(*resources.cpu_idle));
  if (resources.cpu_shares != 0) {
    settings->Add("cpu", "cpu.weight", absl::StrCat(CpuWeight(resources.cpu_shares)));
  }
  if (resources.cpu_quota != 0 || resources.cpu_period != 0) {
    std::string value = resources.cpu_quota > 0 ? absl::StrCat(resources.cpu_quota) : "max";
    if (resources.cpu_period != 0) absl::StrAppend(&value, " ", resources.cpu_period);
    settings->Add("cpu", "cpu.max", std::move(value), true);
  }
  if (resources.cpu_burst.has_value()) {
    settings->Add("cpu", "cpu.max.burst", absl::StrCat(*resources.cpu_burst));
  }
}

}  // namespace

uint64_t CpuWeight(uint64_t shares) {
  return 1 + (std::clamp<uint64_t>(shares, 2, 262144) - 2) * 9999 / 262142;
}

std::vector<Setting> SettingsV1(const Resources& resources) {
  Settings settings;
  AddMemoryV1(resources, &settings);
  AddCpuV1(resources, &settings);
  AddCpuSet(resources, &settings);
  AddPids(resources, &settings);
  AddBlockIoV1(resources, &settings);
  for (const spec::HugepageLimit& limit : resources.hugepages) {
    settings.Add("hugetlb", absl::StrCat("hugetlb.", limit.page_size, ".limit_in_bytes"),
                 absl::StrCat(limit.limit));
  }
  if (resources.network_class.has_value()) {
    settings.Add("net_cls", "net_cls.classid", absl::StrCat(*resources.network_class));
  }
  for (const auto& [interface, priority] : resources.network_priorities) {
    settings.Add("net_prio", "net_prio.ifpriomap", absl::StrCat(interface, " ", priority));
  }
  return settings.Take();
}

std::vector<Setting> SettingsV2(const Resources& resources) {
  Settings settings;
  AddMemoryV2(resources, &settings);
  AddCpuV2(resources, &settings);
  AddCpuSet(resources, &settings);
  AddPids(resources, &settings);
  AddBlockIoV2(resources, &settings);
  for (const spec::HugepageLimit& limit : resources.hugepages) {
    settings.Add("hugetlb", absl::StrCat("hugetlb.", limit.page_size, ".max"), absl::StrCat(limit.limit));
  }
  for (const auto& [file, value] : resources.unified) {
    settings.Add(file.substr(0, file.find('.')), file, value, true);
  }
  return settings.Take();
}

}  // namespace cloister::cgroup
