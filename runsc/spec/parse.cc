#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "runsc/spec/json_field.h"
#include "runsc/spec/parse_linux.h"
#include "runsc/spec/parse_process.h"
#include "runsc/spec/spec.h"

namespace cloister::spec {
namespace {

constexpr size_t kMaxConfigBytes = 64 << 20;

absl::Status ParseRoot(const JsonField& field, Root* root) {
  if (!field.present()) return field.Error("must be given");
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(field.Member("path").Read(&root->path));
  RETURN_IF_ERROR(field.Member("readonly").Read(&root->readonly));
  if (root->path.empty()) return field.Member("path").Error("must not be empty");
  return absl::OkStatus();
}

absl::Status ParseMounts(const JsonField& field, std::vector<Mount>* mounts) {
  for (const JsonField& entry : TRY_STATUS(field.Elements())) {
    RETURN_IF_ERROR(entry.CheckObject());
    Mount& mount = mounts->emplace_back();
    std::vector<std::string> options;
    RETURN_IF_ERROR(entry.Member("destination").Read(&mount.destination));
    RETURN_IF_ERROR(entry.Member("type").Read(&mount.type));
    RETURN_IF_ERROR(entry.Member("source").Read(&mount.source));
    RETURN_IF_ERROR(entry.Member("options").Read(&options));
    if (mount.destination.empty()) return entry.Member("destination").Error("must not be empty");
    mount.destination = CleanPath(mount.destination);
    ParseMountOptions(options, &mount);
    if (mount.type == "bind" || mount.type == "none" || mount.type.empty())
      mount.bind |= mount.type == "bind";
    if (mount.bind) mount.type = "bind";
    if (mount.type.empty()) return entry.Member("type").Error("must not be empty");
    if (mount.bind && mount.source.empty()) return entry.Member("source").Error("must not be empty");
  }
  return absl::OkStatus();
}

absl::Status ParseHookList(const JsonField& field, std::vector<Hook>* hooks) {
  for (const JsonField& entry : TRY_STATUS(field.Elements())) {
    RETURN_IF_ERROR(entry.CheckObject());
    Hook& hook = hooks->emplace_back();
    RETURN_IF_ERROR(entry.Member("path").Read(&hook.path));
    RETURN_IF_ERROR(entry.Member("args").Read(&hook.args));
    if (entry.Member("env").present()) RETURN_IF_ERROR(entry.Member("env").Read(&hook.env.emplace()));
    if (hook.path.empty() || hook.path[0] != '/') {
      return entry.Member("path").Error("must be an absolute path");
    }
    const JsonField timeout = entry.Member("timeout");
    if (!timeout.present()) continue;
    RETURN_IF_ERROR(timeout.Read(&hook.timeout_seconds));
    if (hook.timeout_seconds == 0) return timeout.Error("must be above 0");
  }
  return absl::OkStatus();
}

absl::Status ParseHooks(const JsonField& field, Hooks* hooks) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(ParseHookList(field.Member("prestart"), &hooks->prestart));
  RETURN_IF_ERROR(ParseHookList(field.Member("createRuntime"), &hooks->create_runtime));
  RETURN_IF_ERROR(ParseHookList(field.Member("createContainer"), &hooks->create_container));
  RETURN_IF_ERROR(ParseHookList(field.Member("startContainer"), &hooks->start_container));
  RETURN_IF_ERROR(ParseHookList(field.Member("poststart"), &hooks->poststart));
  return ParseHookList(field.Member("poststop"), &hooks->poststop);
}

absl::Status ParseVersion(const JsonField& field, std::string* version) {
  RETURN_IF_ERROR(field.Read(version));
  if (version->empty()) return field.Error("must not be empty");
  if (!absl::StartsWith(*version, "1.")) {
    return field.Error(absl::StrCat("version \"", *version, "\" is not supported, 1.x is"));
  }
  return absl::OkStatus();
}

}  // namespace

const Namespace* Spec::FindNamespace(NamespaceType type) const {
  for (const Namespace& candidate : namespaces) {
    if (candidate.type == type) return &candidate;
  }
  return nullptr;
}

absl::StatusOr<Spec> ParseSpec(std::string_view text) {
  const JsonDocument document = TRY_STATUS(JsonDocument::Parse(text));
  const JsonField root = document.root();
  Spec spec;
  RETURN_IF_ERROR(ParseVersion(root.Member("ociVersion"), &spec.oci_version));
  RETURN_IF_ERROR(ParseRoot(root.Member("root"), &spec.root));
  if (root.Member("process").present()) spec.process = TRY_STATUS(ParseProcess(root.Member("process")));
  RETURN_IF_ERROR(root.Member("hostname").Read(&spec.hostname));
  RETURN_IF_ERROR(root.Member("domainname").Read(&spec.domainname));
  RETURN_IF_ERROR(ParseMounts(root.Member("mounts"), &spec.mounts));
  RETURN_IF_ERROR(ParseHooks(root.Member("hooks"), &spec.hooks));
  RETURN_IF_ERROR(root.Member("annotations").Read(&spec.annotations));
  RETURN_IF_ERROR(ParseLinux(root.Member("linux"), &spec));
  return spec;
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return HostErrorNow(absl::StrCat("open ", path));
  std::string text;
  char buffer[16384];
  while (true) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return HostErrorNow(absl::StrCat("read ", path));
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > kMaxConfigBytes) return absl::InvalidArgumentError(absl::StrCat(path, ": too large"));
  }
}

}  // namespace cloister::spec
