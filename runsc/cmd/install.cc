#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/own_path.h"
#include "runsc/cmd/verb.h"
#include "runsc/install/config_file.h"
#include "runsc/install/edit.h"

namespace cloister::cmd {
namespace {

constexpr char kDockerConfig[] = "/etc/docker/daemon.json";
constexpr char kContainerdConfig[] = "/etc/containerd/config.toml";

struct InstallFlags {
  std::string docker = kDockerConfig;
  std::string containerd = kContainerdConfig;
  std::string name = "runsc";
  bool dry_run = false;

  void Declare(Flags* flags) {
    flags->String(
        "config_file", &docker,
        absl::StrCat("Docker's configuration. Default: ", kDockerConfig, "; none: leave Docker alone"));
    flags->String(
        "containerd_config_file", &containerd,
        absl::StrCat("containerd's. Default: ", kContainerdConfig, "; none: leave containerd alone"));
    flags->String("runtime", &name, "the runtime's name there. Default: runsc");
    flags->Bool("dry-run", &dry_run, "say what would change, and change nothing");
  }

  // What the shim reads lies beside containerd's file.
  std::string ShimFile() const {
    return absl::StrCat(containerd.substr(0, containerd.rfind('/') + 1), name, ".toml");
  }
};

// One file that is about to change. All are looked at before the first is written, so that a broken one
// leaves everything as it was.
struct Change {
  std::string path;
  std::string text;
  std::string summary;
};

using MakeEdit = std::function<absl::StatusOr<install::Edit>(const std::string& text)>;

absl::Status Plan(const std::string& path, const MakeEdit& make, std::vector<Change>* changes) {
  const std::string before = TRY_STATUS(install::ReadConfig(path));
  const absl::StatusOr<install::Edit> edit = make(before);
  if (!edit.ok()) {
    return absl::Status(edit.status().code(), absl::StrCat(path, ": ", edit.status().message()));
  }
  if (edit->summary.empty()) {
    printf("%s: nothing to do\n", path.c_str());
  } else {
    changes->push_back({path, edit->text, edit->summary});
  }
  return absl::OkStatus();
}

// An engine that is not installed has no directory for its configuration.
bool Wanted(const std::string& path, const char* usual) {
  if (path == "none") return false;
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  if (path != usual || access(directory.c_str(), F_OK) == 0) return true;
  printf("%s: left alone, there is no %s\n", path.c_str(), directory.c_str());
  return false;
}

absl::StatusOr<int> Carry(const std::vector<Change>& changes, bool dry_run) {
  for (const Change& change : changes) {
    if (!dry_run) RETURN_IF_ERROR(install::ReplaceConfig(change.path, change.text));
    printf("%s: %s%s\n", change.path.c_str(), dry_run ? "would have " : "", change.summary.c_str());
  }
  if (!changes.empty() && !dry_run)
    printf("restart the engines for it: they read their files when they start\n");
  return 0;
}

absl::StatusOr<install::Edit> WriteShimFile(const std::string& before, const install::RuntimeEntry& entry) {
  const std::string text = install::ShimOptions(entry);
  if (text == before) return install::Edit{.text = before};
  return install::Edit{text, absl::StrCat("written for containerd's shim: starts ", entry.binary)};
}

}  // namespace

absl::StatusOr<int> RunInstall(const Globals&, const Args& args) {
  InstallFlags raw;
  Flags flags(
      "runsc install", "[options] [-- RUNTIME_ARGUMENT …]",
      "Makes this runsc known to Docker and containerd; arguments go before the verb whenever they run it.");
  raw.Declare(&flags);
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(install::CheckName(raw.name));
  const install::RuntimeEntry entry{raw.name, TRY_STATUS(OwnPath()), flags.positionals()};
  std::vector<Change> changes;
  if (Wanted(raw.docker, kDockerConfig)) {
    RETURN_IF_ERROR(Plan(
        raw.docker, [&](const std::string& text) { return install::AddToDocker(text, entry); }, &changes));
  }
  if (Wanted(raw.containerd, kContainerdConfig)) {
    RETURN_IF_ERROR(Plan(
        raw.containerd,
        [&](const std::string& text) { return install::AddToContainerd(text, raw.name, raw.ShimFile()); },
        &changes));
    RETURN_IF_ERROR(
        Plan(raw.ShimFile(), [&](const std::string& text) { return WriteShimFile(text, entry); }, &changes));
  }
  return Carry(changes, raw.dry_run);
}

absl::StatusOr<int> RunUninstall(const Globals&, const Args& args) {
  InstallFlags raw;
  Flags flags("runsc uninstall", "[options]", "Takes back what \"runsc install\" has written.");
  raw.Declare(&flags);
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "uninstall", 0, 0));
  RETURN_IF_ERROR(install::CheckName(raw.name));
  std::vector<Change> changes;
  if (Wanted(raw.docker, kDockerConfig)) {
    RETURN_IF_ERROR(Plan(
        raw.docker, [&](const std::string& text) { return install::RemoveFromDocker(text, raw.name); },
        &changes));
  }
  if (Wanted(raw.containerd, kContainerdConfig)) {
    RETURN_IF_ERROR(Plan(
        raw.containerd,
        [&](const std::string& text) { return install::RemoveFromContainerd(text, raw.name); }, &changes));
    if (access(raw.ShimFile().c_str(), F_OK) == 0) changes.push_back({raw.ShimFile(), "", "removed"});
  }
  return Carry(changes, raw.dry_run);
}

}  // namespace cloister::cmd
