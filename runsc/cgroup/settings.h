#ifndef CLOISTER_RUNSC_CGROUP_SETTINGS_H_
#define CLOISTER_RUNSC_CGROUP_SETTINGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runsc/spec/resources.h"

namespace cloister::cgroup {

// One value for one file of a group.
struct Setting {
  std::string controller;
  std::string file;
  std::string value;
  bool required = false;  // else a kernel without the file is no error
};

// What resources ask of version 1 and version 2, in the order in which it is to be written. Nothing for what
// they leave alone.
std::vector<Setting> SettingsV1(const spec::Resources& resources);
std::vector<Setting> SettingsV2(const spec::Resources& resources);

// The scale of cpu.shares (2 … 262144) to that of cpu.weight (1 … 10000).
uint64_t CpuWeight(uint64_t shares);

}  // namespace cloister::cgroup

#endif  // CLOISTER_RUNSC_CGROUP_SETTINGS_H_
