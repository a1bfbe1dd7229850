#include "runsc/container/pod.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <optional>
#include <set>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/error/status.h"
#include "base/host/fd_passing.h"
#include "base/log/log.h"
#include "runsc/container/container.h"
#include "runsc/container/directory.h"
#include "runsc/sandbox/control_client.h"

namespace cloister::container {
namespace {

constexpr char kTypeKey[] = "io.kubernetes.cri.container-type";
constexpr char kSandboxKey[] = "io.kubernetes.cri.sandbox-id";
constexpr char kSandbox[] = "sandbox";
constexpr char kContainer[] = "container";
constexpr absl::Duration kCreatePatience = absl::Seconds(60);
constexpr absl::Duration kDestroyPatience = absl::Seconds(10);

struct NamedType {
  spec::NamespaceType type;
  const char* name;  // of the file in /proc/PID/ns
  const char* field;
};
constexpr NamedType kPid = {spec::NamespaceType::kPid, "pid", "pid"};
constexpr NamedType kNetwork = {spec::NamespaceType::kNetwork, "net", "network"};
constexpr NamedType kShared[] = {{spec::NamespaceType::kIpc, "ipc", "ipc"},
                                 {spec::NamespaceType::kUts, "uts", "uts"}};

std::string ValueOf(const std::map<std::string, std::string>& annotations, const char* key) {
  const auto found = annotations.find(key);
  return found == annotations.end() ? std::string() : found->second;
}

absl::Status NotThePods(const NamedType& type, const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat("linux.namespaces: ", type.field, ": a container of a pod is in the pod's, ",
                   path.empty() ? "it cannot have a new one" : absl::StrCat("which ", path, " is not")));
}

// N of /proc/N/ns/NAME.
std::optional<pid_t> HolderOf(const std::string& path, const NamedType& type) {
  const std::vector<std::string> parts = absl::StrSplit(path, '/');
  pid_t pid;
  if (parts.size() != 5 || parts[1] != "proc" || parts[3] != "ns" || parts[4] != type.name)
    return std::nullopt;
  if (!absl::SimpleAtoi(parts[2], &pid)) return std::nullopt;
  return pid;
}

// Engines name a namespace by the pid that they know of a container in it: its monitor's.
absl::StatusOr<std::string> ContainerOf(const std::string& root, const spec::State& sandbox,
                                        const std::string& path, const NamedType& type) {
  const std::optional<pid_t> pid = HolderOf(path, type);
  if (!pid.has_value()) return NotThePods(type, path);
  if (*pid == sandbox.monitor.pid) return sandbox.id;
  for (const std::string& id : TRY_STATUS(ListIds(root))) {
    const absl::StatusOr<Container> other = Container::Open(root, id);
    if (other.ok() && SandboxOf(other->state()) == sandbox.id && other->state().monitor.pid == *pid)
      return id;
  }
  return NotThePods(type, path);
}

bool SameFile(const std::string& one, const std::string& other) {
  struct stat first, second;
  return stat(one.c_str(), &first) == 0 && stat(other.c_str(), &second) == 0 &&
         first.st_ino == second.st_ino && first.st_dev == second.st_dev;
}

absl::Status CheckNamespaces(const std::string& root, const spec::Spec& spec, PodPlan* plan) {
  for (const NamedType& type : kShared) {
    const spec::Namespace* const wanted = spec.FindNamespace(type.type);
    if (wanted == nullptr) continue;
    if (wanted->path.empty()) return NotThePods(type, "");
    RETURN_IF_ERROR(ContainerOf(root, plan->sandbox, wanted->path, type).status());
  }
  const spec::Namespace* const network = spec.FindNamespace(kNetwork.type);
  if (network != nullptr && !SameFile(network->path, plan->network_path))
    return NotThePods(kNetwork, network->path);
  const spec::Namespace* const pids = spec.FindNamespace(kPid.type);
  if (pids == nullptr) {
    plan->pid_namespace = plan->sandbox.id;
  } else if (!pids->path.empty()) {
    plan->pid_namespace = TRY_STATUS(ContainerOf(root, plan->sandbox, pids->path, kPid));
  }
  return absl::OkStatus();
}

}  // namespace

std::string SandboxOf(const spec::State& state) {
  return ValueOf(state.annotations, kTypeKey) == kContainer ? ValueOf(state.annotations, kSandboxKey)
                                                            : std::string();
}

absl::StatusOr<PodPlan> PlanPod(const std::string& root, const spec::Spec& spec) {
  PodPlan plan;
  const std::string type = ValueOf(spec.annotations, kTypeKey);
  if (type.empty()) return plan;
  if (type == kSandbox) {
    plan.role = PodRole::kSandbox;
    return plan;
  }
  if (type != kContainer) {
    return absl::InvalidArgumentError(absl::StrCat(
        "annotations: ", kTypeKey, ": must be \"sandbox\" or \"container\", not \"", type, "\""));
  }
  plan.role = PodRole::kContainer;
  const std::string id = ValueOf(spec.annotations, kSandboxKey);
  if (id.empty())
    return absl::InvalidArgumentError(absl::StrCat("annotations: ", kSandboxKey, ": must be given"));
  const absl::StatusOr<Container> sandbox = Container::Open(root, id);
  if (!sandbox.ok()) {
    return absl::Status(sandbox.status().code(), absl::StrCat("annotations: ", kSandboxKey, ": ", id, ": ",
                                                              sandbox.status().message()));
  }
  if (ValueOf(sandbox->state().annotations, kTypeKey) != kSandbox) {
    return absl::InvalidArgumentError(absl::StrCat("annotations: ", kSandboxKey, ": ", id, " is no sandbox"));
  }
  const spec::Status status = sandbox->Status();
  if (status == spec::Status::kStopped || status == spec::Status::kCreating) {
    return absl::FailedPreconditionError(absl::StrCat(
        "annotations: ", kSandboxKey, ": ", id, " is not running: ", std::string(spec::StatusName(status))));
  }
  plan.sandbox = sandbox->state();
  plan.control_path = absl::StrCat(root, "/", id);
  plan.network_path = absl::StrCat("/proc/", plan.sandbox.monitor.pid, "/ns/net");
  RETURN_IF_ERROR(CheckNamespaces(root, spec, &plan));
  return plan;
}

absl::Status CreateInPod(const PodPlan& pod, control::CreateRequest request, std::span<const int> fixed,
                         const cgroup::Group& group, std::span<const int> stdio) {
  std::set<std::string> directories;
  for (const auto& [controller, directory] : group.directories()) directories.insert(directory);
  std::vector<UniqueFd> placers;
  for (const std::string& directory : directories) {
    const std::string path = directory + "/cgroup.procs";
    placers.emplace_back(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!placers.back().ok()) return HostErrorNow(path);
  }
  request.set_placers(static_cast<uint32_t>(placers.size()));
  std::vector<int> fds(fixed.begin(), fixed.end());
  for (const UniqueFd& placer : placers) fds.push_back(placer.get());
  fds.insert(fds.end(), stdio.begin(), stdio.end());
  if (fds.size() > kMaxPassedFds) {
    return absl::InvalidArgumentError("--preserve-fds: too many for a container of a pod");
  }
  control::Request create;
  *create.mutable_create() = std::move(request);
  sandbox::ControlClient client =
      TRY_STATUS(sandbox::ControlClient::Connect(pod.control_path, kCreatePatience));
  return client.Call(create, kCreatePatience, fds).status();
}

void DestroyInPod(const std::string& control_path, const std::string& id) {
  control::Request request;
  request.mutable_destroy()->set_container(id);
  absl::StatusOr<sandbox::ControlClient> client =
      sandbox::ControlClient::Connect(control_path, kDestroyPatience);
  absl::Status done = client.status();
  if (client.ok()) done = client->Call(request, kDestroyPatience).status();
  if (!done.ok()) LOG(kInfo, "%s: %s", id, FirstLine(done));
}

}  // namespace cloister::container
