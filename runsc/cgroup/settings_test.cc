#include "runsc/cgroup/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace cloister::cgroup {
namespace {

std::vector<std::string> Lines(const std::vector<Setting>& settings) {
  std::vector<std::string> lines;
  for (const Setting& setting : settings) lines.push_back(absl::StrCat(setting.file, "=", setting.value));
  return lines;
}

TEST(Settings, NothingForNothing) {
  EXPECT_TRUE(SettingsV1({}).empty());
  EXPECT_TRUE(SettingsV2({}).empty());
}

TEST(Settings, Memory) {
  const spec::Resources limited = {.memory_limit = 100, .memory_reservation = 50, .memory_swap = 300};
  EXPECT_THAT(Lines(SettingsV1(limited)),
              testing::ElementsAre("memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=300",
                                   "memory.soft_limit_in_bytes=50"));
  EXPECT_THAT(Lines(SettingsV2(limited)),
              testing::ElementsAre("memory.max=100", "memory.swap.max=200", "memory.low=50"));
  const spec::Resources unlimited = {.memory_limit = -1};
  EXPECT_THAT(Lines(SettingsV1(unlimited)),
              testing::ElementsAre("memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1"));
  EXPECT_THAT(Lines(SettingsV2(unlimited)), testing::ElementsAre("memory.max=max", "memory.swap.max=max"));
}

TEST(Settings, Cpu) {
  const spec::Resources resources = {
      .cpu_shares = 1024, .cpu_quota = 50000, .cpu_period = 100000, .cpus = "0-1", .mems = "0"};
  EXPECT_THAT(Lines(SettingsV1(resources)),
              testing::ElementsAre("cpu.shares=1024", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000",
                                   "cpuset.cpus=0-1", "cpuset.mems=0"));
  EXPECT_THAT(Lines(SettingsV2(resources)), testing::ElementsAre("cpu.weight=39", "cpu.max=50000 100000",
                                                                 "cpuset.cpus=0-1", "cpuset.mems=0"));
  EXPECT_THAT(Lines(SettingsV2({.cpu_quota = -1})), testing::ElementsAre("cpu.max=max"));
}

TEST(Settings, Weight) {
  EXPECT_EQ(CpuWeight(2), 1u);
  EXPECT_EQ(CpuWeight(262144), 10000u);
  EXPECT_EQ(CpuWeight(0), 1u);
}

TEST(Settings, PidsAndDevices) {
  const spec::Resources resources = {.pids_limit = 30, .io_weight = 10, .read_bps = {{8, 1, 500}}};
  EXPECT_THAT(Lines(SettingsV1(resources)),
              testing::ElementsAre("pids.max=30", "blkio.weight=10", "blkio.bfq.weight=10",
                                   "blkio.throttle.read_bps_device=8:1 500"));
  EXPECT_THAT(Lines(SettingsV2(resources)),
              testing::ElementsAre("pids.max=30", "io.bfq.weight=10", "io.weight=1", "io.max=8:1 rbps=500"));
  EXPECT_THAT(Lines(SettingsV1({.pids_limit = -1})), testing::ElementsAre("pids.max=max"));
}

TEST(Settings, UnifiedGoesToItsController) {
  const std::vector<Setting> settings = SettingsV2({.unified = {{"memory.high", "5"}}});
  ASSERT_EQ(settings.size(), 1u);
  EXPECT_EQ(settings[0].controller, "memory");
  EXPECT_TRUE(SettingsV1({.unified = {{"memory.high", "5"}}}).empty());
}

}  // namespace
}  // namespace cloister::cgroup
