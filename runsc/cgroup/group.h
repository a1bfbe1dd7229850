#ifndef CLOISTER_RUNSC_CGROUP_GROUP_H_
#define CLOISTER_RUNSC_CGROUP_GROUP_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runsc/cgroup/hierarchies.h"
#include "runsc/cgroup/settings.h"
#include "runsc/spec/resources.h"

namespace cloister::cgroup {

// The control groups of one container: a directory in every hierarchy that the host has mounted. All
// processes of the sandbox live in them, so that limits hold for the workload and its kernel together.
class Group {
 public:
  // Controller, "memory" or "name=systemd", to the group's directory; "" is version 2's.
  using Directories = std::map<std::string, std::string>;

  Group() = default;
  explicit Group(Directories directories) : directories_(std::move(directories)) {}

  // Where the groups of this place are to be; nothing is made yet.
  static Group Plan(const std::vector<Hierarchy>& hierarchies, const std::string& place);
  // Makes what is missing of a plan for these hierarchies; parents too, which stay.
  absl::Status Make(const std::vector<Hierarchy>& hierarchies) const;

  const Directories& directories() const { return directories_; }

  // The calling process enters, and with it what it forks.
  absl::Status Join() const;

  // Zero and absent fields leave things as they are. host_tasks: how many threads of the sandbox's own
  // the limit on processes has to leave room for.
  absl::Status Apply(const spec::Resources& resources, int host_tasks) const;

  // Removes the directories and groups that others may have made in them. The processes must be gone or on
  // their way out.
  absl::Status Remove(absl::Duration patience) const;

  // A file's text without the last newline; empty where the controller or the file is missing.
  std::string Read(const std::string& controller, const std::string& file) const;
  // The controller's directory; version 2's where version 1 has none that bears the name. Empty: neither.
  std::string DirectoryOf(const std::string& controller) const;
  bool HasV1(const std::string& controller) const { return directories_.count(controller) != 0; }

 private:
  absl::Status WriteAll(std::vector<Setting> settings) const;

  Directories directories_;
};

}  // namespace cloister::cgroup

#endif  // CLOISTER_RUNSC_CGROUP_GROUP_H_
