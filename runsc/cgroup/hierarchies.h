#ifndef CLOISTER_RUNSC_CGROUP_HIERARCHIES_H_
#define CLOISTER_RUNSC_CGROUP_HIERARCHIES_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace cloister::cgroup {

// One mounted hierarchy of control groups, cgroups(7).
struct Hierarchy {
  std::string mount;                     // where it is mounted
  std::string root;                      // the group that is seen there; "/" outside of containers
  std::vector<std::string> controllers;  // version 1: "cpu" and "cpuacct", or "name=systemd"; version 2: none
  std::string own;                       // the calling process' group, as a path below root

  bool unified() const { return controllers.empty(); }
};

// Those that are mounted, each once, from the texts of /proc/self/mountinfo and /proc/self/cgroup.
std::vector<Hierarchy> ParseHierarchies(std::string_view mountinfo, std::string_view cgroup);

absl::StatusOr<std::vector<Hierarchy>> FindHierarchies();

// Where config.json puts a container: "/docker/ID" from a hierarchy's root, or a relative path from the
// caller's own group. With systemd, linux.cgroupsPath is "slice:prefix:name", and the answer is the place
// where systemd would have the unit's group.
absl::StatusOr<std::string> PlaceOf(const std::string& cgroups_path, const std::string& id, bool systemd);

// The directory of place in a hierarchy.
std::string DirectoryIn(const Hierarchy& hierarchy, const std::string& place);

}  // namespace cloister::cgroup

#endif  // CLOISTER_RUNSC_CGROUP_HIERARCHIES_H_
