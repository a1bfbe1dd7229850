#include "runsc/spec/parse_linux.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "runsc/spec/parse_resources.h"
#include "runsc/spec/parse_seccomp.h"

namespace cloister::spec {
namespace {

constexpr std::pair<std::string_view, NamespaceType> kNamespaces[] = {
    {"pid", NamespaceType::kPid},       {"network", NamespaceType::kNetwork}, {"ipc", NamespaceType::kIpc},
    {"uts", NamespaceType::kUts},       {"mount", NamespaceType::kMount},     {"user", NamespaceType::kUser},
    {"cgroup", NamespaceType::kCgroup}, {"time", NamespaceType::kTime},
};

absl::Status ParseNamespaces(const JsonField& field, std::vector<Namespace>* namespaces) {
  std::set<NamespaceType> seen;
  for (const JsonField& entry : TRY_STATUS(field.Elements())) {
    RETURN_IF_ERROR(entry.CheckObject());
    std::string name;
    RETURN_IF_ERROR(entry.Member("type").Read(&name));
    const auto known = std::find_if(std::begin(kNamespaces), std::end(kNamespaces),
                                    [&](const auto& candidate) { return candidate.first == name; });
    if (known == std::end(kNamespaces)) {
      return entry.Member("type").Error(absl::StrCat("unknown namespace \"", name, "\""));
    }
    if (!seen.insert(known->second).second) {
      return entry.Member("type").Error(absl::StrCat("namespace ", name, " is given twice"));
    }
    Namespace& parsed = namespaces->emplace_back(Namespace{.type = known->second});
    RETURN_IF_ERROR(entry.Member("path").Read(&parsed.path));
    if (!parsed.path.empty() && parsed.path[0] != '/') {
      return entry.Member("path").Error("must be an absolute path");
    }
  }
  return absl::OkStatus();
}

absl::Status ParseIdMappings(const JsonField& field, std::vector<IdMapping>* mappings) {
  for (const JsonField& entry : TRY_STATUS(field.Elements())) {
    RETURN_IF_ERROR(entry.CheckObject());
    IdMapping& mapping = mappings->emplace_back();
    RETURN_IF_ERROR(entry.Member("containerID").Read(&mapping.container_id));
    RETURN_IF_ERROR(entry.Member("hostID").Read(&mapping.host_id));
    RETURN_IF_ERROR(entry.Member("size").Read(&mapping.size));
  }
  return absl::OkStatus();
}

absl::Status ParseDevices(const JsonField& field, std::vector<Device>* devices) {
  for (const JsonField& entry : TRY_STATUS(field.Elements())) {
    RETURN_IF_ERROR(entry.CheckObject());
    Device& device = devices->emplace_back();
    RETURN_IF_ERROR(entry.Member("path").Read(&device.path));
    RETURN_IF_ERROR(entry.Member("type").Read(&device.type));
    RETURN_IF_ERROR(entry.Member("major").Read(&device.major));
    RETURN_IF_ERROR(entry.Member("minor").Read(&device.minor));
    RETURN_IF_ERROR(entry.Member("fileMode").Read(&device.mode));
    RETURN_IF_ERROR(entry.Member("uid").Read(&device.uid));
    RETURN_IF_ERROR(entry.Member("gid").Read(&device.gid));
    if (device.path.empty() || device.path[0] != '/') {
      return entry.Member("path").Error("must be an absolute path");
    }
    if (device.type.size() != 1 || !absl::StrContains("cbpu", device.type)) {
      return entry.Member("type").Error("must be c, b, u or p");
    }
  }
  return absl::OkStatus();
}

// Those that belong to a namespace of the container; runc refuses all others too.
bool IsNamespacedSysctl(const std::string& name) {
  static constexpr std::string_view kNames[] = {
      "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni",          "kernel.sem",        "kernel.shmall",
      "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.domainname", "kernel.hostname",
  };
  return absl::StartsWith(name, "net.") || absl::StartsWith(name, "fs.mqueue.") ||
         std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

absl::Status ParseSysctl(const JsonField& field, std::map<std::string, std::string>* sysctl) {
  std::map<std::string, std::string> written;
  RETURN_IF_ERROR(field.Read(&written));
  for (const auto& [name, value] : written) {
    // net/ipv4/x and net.ipv4.x are the same.
    std::string dotted = name;
    if (const size_t at = name.find_first_of("./"); at != std::string::npos && name[at] == '/') {
      for (char& c : dotted) c = c == '/' ? '.' : c == '.' ? '/' : c;
    }
    if (!IsNamespacedSysctl(dotted)) {
      return field.Error(absl::StrCat("sysctl \"", name, "\" is not in a separate kernel namespace"));
    }
    (*sysctl)[dotted] = value;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseLinux(const JsonField& field, Spec* spec) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(ParseNamespaces(field.Member("namespaces"), &spec->namespaces));
  RETURN_IF_ERROR(ParseIdMappings(field.Member("uidMappings"), &spec->uid_mappings));
  RETURN_IF_ERROR(ParseIdMappings(field.Member("gidMappings"), &spec->gid_mappings));
  RETURN_IF_ERROR(ParseDevices(field.Member("devices"), &spec->devices));
  RETURN_IF_ERROR(ParseSysctl(field.Member("sysctl"), &spec->sysctl));
  RETURN_IF_ERROR(ParseResources(field.Member("resources"), &spec->resources));
  RETURN_IF_ERROR(field.Member("cgroupsPath").Read(&spec->cgroups_path));
  RETURN_IF_ERROR(field.Member("maskedPaths").Read(&spec->masked_paths));
  RETURN_IF_ERROR(field.Member("readonlyPaths").Read(&spec->readonly_paths));
  RETURN_IF_ERROR(ParseSeccomp(field.Member("seccomp"), &spec->seccomp));
  for (std::string& path : spec->masked_paths) path = CleanPath(path);
  for (std::string& path : spec->readonly_paths) path = CleanPath(path);
  return absl::OkStatus();
}

}  // namespace cloister::spec
