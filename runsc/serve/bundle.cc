#include "runsc/serve/bundle.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "runsc/serve/places.h"
#include "runsc/spec/names.h"

namespace cloister::serve {
namespace {

using Json = nlohmann::json;

constexpr char kFiles[] = "/files";

Json Tmpfs(const char* destination, const char* mode, const char* more = "nosuid") {
  return {{"destination", destination},
          {"type", "tmpfs"},
          {"source", "tmpfs"},
          {"options", {"nosuid", "nodev", more, absl::StrCat("mode=", mode)}}};
}

Json ReadOnlyBind(const char* destination, const std::string& source) {
  return {{"destination", destination},
          {"type", "bind"},
          {"source", source},
          {"options", {"bind", "ro", "nosuid", "nodev"}}};
}

Json Mounts(const BundlePlan& plan, const RunRequest& request) {
  Json mounts = {
      {{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
      {{"destination", "/dev"},
       {"type", "tmpfs"},
       {"source", "tmpfs"},
       {"options", {"nosuid", "strictatime", "mode=755", "size=65536k"}}},
      {{"destination", "/dev/pts"},
       {"type", "devpts"},
       {"source", "devpts"},
       {"options", {"nosuid", "noexec", "ptmxmode=0666", "mode=0620", "gid=5"}}},
      {{"destination", "/dev/mqueue"}, {"type", "mqueue"}, {"source", "mqueue"}},
      Tmpfs("/dev/shm", "1777", "noexec"),
      {{"destination", "/sys"},
       {"type", "sysfs"},
       {"source", "sysfs"},
       {"options", {"nosuid", "noexec", "nodev", "ro"}}},
      Tmpfs("/run", "755"),
      Tmpfs(kScratchPlace, "1777"),
  };
  if (request.files_size() > 0) mounts.push_back(ReadOnlyBind(kFilesPlace, plan.directory + kFiles));
  if (request.has_program()) mounts.push_back(ReadOnlyBind(kRunnerPlace, plan.runner));
  return mounts;
}

Json Process(const RunRequest& request) {
  const std::vector<std::string> capabilities = spec::CapabilityNames();
  Json process = {
      {"terminal", false},
      {"user", {{"uid", 0}, {"gid", 0}}},
      {"capabilities",
       {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
  };
  if (request.has_program()) {
    process["args"] = {kRunnerPlace};
    process["env"] = Json::array();
    process["cwd"] = kScratchPlace;
    return process;
  }
  const Command& command = request.command();
  process["args"] = std::vector<std::string>(command.args().begin(), command.args().end());
  process["env"] = std::vector<std::string>(command.env().begin(), command.env().end());
  process["cwd"] = command.cwd();
  return process;
}

Json Config(const BundlePlan& plan, const RunRequest& request) {
  const Limits& limits = request.limits();
  Json memory = {{"limit", limits.memory_bytes()}};
  if (plan.limit_swap) memory["swap"] = limits.memory_bytes();
  Json namespaces = Json::array();
  for (const char* kind : {"pid", "ipc", "uts", "mount", "network"}) namespaces.push_back({{"type", kind}});
  return {
      {"ociVersion", "1.0.2"},
      {"process", Process(request)},
      {"root", {{"path", request.root()}}},
      {"hostname", "cloister"},
      {"mounts", Mounts(plan, request)},
      {"linux",
       {{"namespaces", namespaces},
        {"cgroupsPath", plan.group},
        {"resources", {{"memory", memory}, {"pids", {{"limit", limits.processes()}}}}}}},
  };
}

absl::Status WriteAll(int fd, const std::string& path, const std::string& content) {
  for (size_t done = 0; done < content.size();) {
    const ssize_t written = write(fd, content.data() + done, content.size() - done);
    if (written < 0 && errno != EINTR) return HostErrorNow(path);
    if (written > 0) done += static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

// The names have been checked, and the directory is ours alone.
absl::Status WriteFiles(const std::string& top, const RunRequest& request) {
  if (mkdir(top.c_str(), 0755) != 0) return HostErrorNow(top);
  for (const File& file : request.files()) {
    const std::filesystem::path path = std::filesystem::path(top) / file.name();
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) return HostError(error.value(), "files.name: " + file.name());
    RETURN_IF_ERROR(WriteNewFile(path, file.content(), file.executable() ? 0755 : 0644));
  }
  return absl::OkStatus();
}

// A file in memory, which nobody can make grow by the descriptor that is handed out.
absl::StatusOr<UniqueFd> MakeInput(const std::string& content) {
  const UniqueFd memory(memfd_create("input", MFD_CLOEXEC));
  if (!memory.ok()) return HostErrorNow("memfd_create");
  RETURN_IF_ERROR(WriteAll(memory.get(), "input", content));
  UniqueFd input(open(absl::StrCat("/proc/self/fd/", memory.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!input.ok()) return HostErrorNow("input");
  return input;
}

}  // namespace

absl::Status WriteNewFile(const std::string& path, const std::string& content, unsigned mode) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!file.ok()) return HostErrorNow(path);
  return WriteAll(file.get(), path, content);
}

absl::StatusOr<Bundle> Bundle::Make(const BundlePlan& plan, const RunRequest& request) {
  if (mkdir(plan.directory.c_str(), 0700) != 0) return HostErrorNow(plan.directory);
  Bundle bundle(plan.directory);
  if (request.files_size() > 0) RETURN_IF_ERROR(WriteFiles(plan.directory + kFiles, request));
  // Strings of protobuf are UTF-8 as JSON's are.
  RETURN_IF_ERROR(WriteNewFile(plan.directory + "/config.json", Config(plan, request).dump(), 0600));
  bundle.input_ =
      TRY_STATUS(MakeInput(request.has_program() ? request.program().text() : request.command().input()));
  return bundle;
}

Bundle::~Bundle() {
  std::error_code error;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, error);
}

}  // namespace cloister::serve
