#include "runsc/cgroup/group.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "base/log/log.h"
#include "runsc/spec/spec.h"

namespace cloister::cgroup {
namespace {

constexpr int kRetryMilliseconds = 5;

std::string ReadOrNothing(const std::string& path) {
  return std::string(absl::StripTrailingAsciiWhitespace(spec::ReadTextFile(path).value_or("")));
}

// 0, or why not.
int WriteFile(const std::string& path, const std::string& value) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.ok()) return errno;
  return write(file.get(), value.data(), value.size()) < 0 ? errno : 0;
}

absl::Status WriteError(int error, const std::string& path, const std::string& value) {
  return HostError(error, absl::StrCat("failed to write \"", value, "\" to \"", path, "\""));
}

// A new group of version 1 has no CPUs and no memory nodes, and takes no process until it has.
absl::Status InheritCpuSet(const std::string& parent, const std::string& directory) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    if (!ReadOrNothing(directory + file).empty()) continue;
    const std::string value = ReadOrNothing(parent + file);
    if (value.empty()) continue;
    if (const int error = WriteFile(directory + file, value))
      return WriteError(error, directory + file, value);
  }
  return absl::OkStatus();
}

// What the parent has and may hand down. A group with processes of its own cannot; then the limits that need
// a controller fail by themselves.
void HandDown(const std::string& parent) {
  for (const absl::string_view controller :
       absl::StrSplit(ReadOrNothing(parent + "/cgroup.controllers"), ' ', absl::SkipEmpty())) {
    WriteFile(parent + "/cgroup.subtree_control", absl::StrCat("+", controller));
  }
}

absl::Status MakeGroups(const Hierarchy& hierarchy, const std::string& directory) {
  const bool cpuset = std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(), "cpuset") !=
                      hierarchy.controllers.end();
  std::string done = hierarchy.mount;
  const std::vector<std::string> names =
      absl::StrSplit(directory.substr(hierarchy.mount.size()), '/', absl::SkipEmpty());
  for (const std::string& name : names) {
    const std::string parent = done;
    absl::StrAppend(&done, "/", name);
    if (hierarchy.unified()) HandDown(parent);
    if (mkdir(done.c_str(), 0755) != 0 && errno != EEXIST) return HostErrorNow(absl::StrCat("mkdir ", done));
    if (cpuset) RETURN_IF_ERROR(InheritCpuSet(parent, done));
  }
  return absl::OkStatus();
}

std::vector<std::string> Children(const std::string& directory) {
  std::vector<std::string> children;
  DIR* const listing = opendir(directory.c_str());
  if (listing == nullptr) return children;
  while (const dirent* entry = readdir(listing)) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
      children.push_back(absl::StrCat(directory, "/", entry->d_name));
  }
  closedir(listing);
  return children;
}

absl::Status RemoveTree(const std::string& directory, absl::Time deadline) {
  while (true) {
    if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    // A killed process stays in its group until it is reaped; nothing tells when version 1 has let go.
    const int error = errno;
    if (error != EBUSY || absl::Now() > deadline) return HostError(error, absl::StrCat("rmdir ", directory));
    for (const std::string& child : Children(directory)) RETURN_IF_ERROR(RemoveTree(child, deadline));
    poll(nullptr, 0, kRetryMilliseconds);
  }
}

}  // namespace

Group Group::Plan(const std::vector<Hierarchy>& hierarchies, const std::string& place) {
  Group group;
  for (const Hierarchy& hierarchy : hierarchies) {
    const std::string directory = DirectoryIn(hierarchy, place);
    if (hierarchy.unified()) group.directories_[""] = directory;
    for (const std::string& controller : hierarchy.controllers) group.directories_[controller] = directory;
  }
  return group;
}

absl::Status Group::Make(const std::vector<Hierarchy>& hierarchies) const {
  for (const Hierarchy& hierarchy : hierarchies) {
    const std::string directory = DirectoryOf(hierarchy.unified() ? "" : hierarchy.controllers.front());
    const absl::Status made = MakeGroups(hierarchy, directory);
    if (made.ok()) continue;
    Remove(absl::ZeroDuration()).IgnoreError();
    return made;
  }
  return absl::OkStatus();
}

absl::Status Group::Join() const {
  for (const auto& [controller, directory] : directories_) {
    const std::string path = absl::StrCat(directory, "/cgroup.procs");
    if (const int error = WriteFile(path, "0")) return WriteError(error, path, "0");
  }
  return absl::OkStatus();
}

absl::Status Group::WriteAll(std::vector<Setting> settings) const {
  // Some values are judged by others that come later, as a limit on memory by that on memory and swap.
  std::vector<Setting> again;
  for (int round = 0; round < 2; ++round) {
    for (Setting& setting : settings) {
      const std::string directory = DirectoryOf(setting.controller);
      if (directory.empty()) {
        const std::string what = absl::StrCat("cannot set ", setting.file, ": no cgroup controller ",
                                              setting.controller, " is mounted");
        if (setting.required) return absl::UnavailableError(what);
        LOG(kWarning, "%s", what);
        continue;
      }
      const std::string path = absl::StrCat(directory, "/", setting.file);
      const int error = WriteFile(path, setting.value);
      if (error == 0) continue;
      if (error == EINVAL && round == 0) {
        again.push_back(std::move(setting));
        continue;
      }
      const absl::Status status = WriteError(error, path, setting.value);
      const bool missing = error == ENOENT || error == EACCES;  // the kernel lets nobody make a file there
      if (setting.required || !missing) return status;
      LOG(kWarning, "cgroup: %s", FirstLine(status));
    }
    settings = std::move(again);
    again.clear();
  }
  return absl::OkStatus();
}

absl::Status Group::Apply(const spec::Resources& resources, int host_tasks) const {
  spec::Resources asked = resources;
  if (asked.pids_limit > 0) asked.pids_limit += host_tasks;
  // A controller is mounted in one of the versions, and version 2 has io where version 1 has blkio.
  std::vector<Setting> settings = SettingsV1(asked);
  const bool has_v2 = directories_.count("") != 0;
  std::erase_if(settings, [&](const Setting& setting) { return has_v2 && !HasV1(setting.controller); });
  RETURN_IF_ERROR(WriteAll(std::move(settings)));
  if (!has_v2) return absl::OkStatus();
  settings = SettingsV2(asked);
  std::erase_if(settings, [&](const Setting& setting) {
    return HasV1(setting.controller == "io" ? "blkio" : setting.controller);
  });
  return WriteAll(std::move(settings));
}

absl::Status Group::Remove(absl::Duration patience) const {
  const absl::Time deadline = absl::Now() + patience;
  absl::Status status = absl::OkStatus();
  for (const auto& [controller, directory] : directories_) {
    const absl::Status removed = RemoveTree(directory, deadline);
    if (status.ok()) status = removed;
  }
  return status;
}

std::string Group::DirectoryOf(const std::string& controller) const {
  auto found = directories_.find(controller);
  if (found == directories_.end()) found = directories_.find("");
  return found != directories_.end() ? found->second : "";
}

std::string Group::Read(const std::string& controller, const std::string& file) const {
  const std::string directory = DirectoryOf(controller);
  return directory.empty() ? "" : ReadOrNothing(absl::StrCat(directory, "/", file));
}

}  // namespace cloister::cgroup
