#ifndef CLOISTER_RUNSC_SPEC_RESOURCES_H_
#define CLOISTER_RUNSC_SPEC_RESOURCES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace cloister::spec {

// A weight, or a rate in bytes or operations a second, for one block device.
struct DeviceRate {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t value = 0;

  bool operator==(const DeviceRate&) const = default;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  uint64_t limit = 0;

  bool operator==(const HugepageLimit&) const = default;
};

// linux.resources. Limits that are 0 or absent leave things as they are; -1 means none.
struct Resources {
  int64_t memory_limit = 0;
  int64_t memory_reservation = 0;
  int64_t memory_swap = 0;  // memory and swap together
  std::optional<uint64_t> memory_swappiness;
  bool disable_oom_killer = false;
  uint64_t cpu_shares = 0;
  int64_t cpu_quota = 0;
  uint64_t cpu_period = 0;
  std::optional<uint64_t> cpu_burst;
  std::optional<int64_t> cpu_idle;
  int64_t realtime_runtime = 0;
  uint64_t realtime_period = 0;
  std::string cpus;
  std::string mems;
  int64_t pids_limit = 0;
  uint32_t io_weight = 0;
  std::vector<DeviceRate> io_weight_devices;
  std::vector<DeviceRate> read_bps;
  std::vector<DeviceRate> write_bps;
  std::vector<DeviceRate> read_iops;
  std::vector<DeviceRate> write_iops;
  std::vector<HugepageLimit> hugepages;
  std::optional<uint32_t> network_class;
  std::map<std::string, uint32_t> network_priorities;
  std::map<std::string, std::string> unified;  // files of version 2

  bool operator==(const Resources&) const = default;
};

// The text that "runsc update --resources" reads.
absl::StatusOr<Resources> ParseResourcesText(std::string_view text);

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_RESOURCES_H_
