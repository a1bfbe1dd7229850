#include "runsc/spec/parse_process.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/log/log.h"

namespace cloister::spec {
namespace {

constexpr uint32_t kMaxWindow = 0xffff;  // struct winsize holds 16 bits

absl::Status ParseUser(const JsonField& field, User* user) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(field.Member("uid").Read(&user->uid));
  RETURN_IF_ERROR(field.Member("gid").Read(&user->gid));
  RETURN_IF_ERROR(field.Member("additionalGids").Read(&user->additional_gids));
  if (const JsonField umask = field.Member("umask"); umask.present()) {
    RETURN_IF_ERROR(umask.Read(&user->umask.emplace()));
    if (*user->umask > 0777) return umask.Error("must be at most 0777 (511)");
  }
  return absl::OkStatus();
}

// As runc does, a name that this kernel does not know is left out with a warning.
absl::Status ParseCapabilitySet(const JsonField& field, uint64_t* set) {
  std::vector<std::string> names;
  RETURN_IF_ERROR(field.Read(&names));
  for (const std::string& name : names) {
    const std::optional<int> number = CapabilityNumber(name);
    if (number.has_value()) {
      *set |= uint64_t{1} << *number;
    } else {
      LOG(kWarning, "%s: unknown capability %s is ignored", field.path(), name);
    }
  }
  return absl::OkStatus();
}

absl::Status ParseCapabilities(const JsonField& field, Capabilities* capabilities) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(ParseCapabilitySet(field.Member("bounding"), &capabilities->bounding));
  RETURN_IF_ERROR(ParseCapabilitySet(field.Member("effective"), &capabilities->effective));
  RETURN_IF_ERROR(ParseCapabilitySet(field.Member("inheritable"), &capabilities->inheritable));
  RETURN_IF_ERROR(ParseCapabilitySet(field.Member("permitted"), &capabilities->permitted));
  return ParseCapabilitySet(field.Member("ambient"), &capabilities->ambient);
}

absl::Status ParseRlimits(const JsonField& field, std::vector<Rlimit>* rlimits) {
  std::set<uint32_t> seen;
  for (const JsonField& entry : TRY_STATUS(field.Elements())) {
    RETURN_IF_ERROR(entry.CheckObject());
    std::string name;
    RETURN_IF_ERROR(entry.Member("type").Read(&name));
    const std::optional<uint32_t> number = RlimitNumber(name);
    if (!number.has_value()) {
      return entry.Member("type").Error(absl::StrCat("invalid rlimit type \"", name, "\""));
    }
    if (!seen.insert(*number).second) {
      return entry.Member("type").Error(absl::StrCat("rlimit ", name, " is given twice"));
    }
    Rlimit& limit = rlimits->emplace_back(Rlimit{.resource = *number});
    RETURN_IF_ERROR(entry.Member("soft").Read(&limit.soft));
    RETURN_IF_ERROR(entry.Member("hard").Read(&limit.hard));
    if (limit.soft > limit.hard) return entry.Member("soft").Error("must not be above the hard limit");
  }
  return absl::OkStatus();
}

absl::Status ParseConsoleSize(const JsonField& field, Process* process) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(field.Member("height").Read(&process->rows));
  RETURN_IF_ERROR(field.Member("width").Read(&process->columns));
  if (process->rows > kMaxWindow) return field.Member("height").Error("must be at most 65535");
  if (process->columns > kMaxWindow) return field.Member("width").Error("must be at most 65535");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Process> ParseProcess(const JsonField& field) {
  Process process;
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(field.Member("terminal").Read(&process.terminal));
  RETURN_IF_ERROR(ParseConsoleSize(field.Member("consoleSize"), &process));
  RETURN_IF_ERROR(ParseUser(field.Member("user"), &process.user));
  RETURN_IF_ERROR(field.Member("args").Read(&process.args));
  RETURN_IF_ERROR(field.Member("env").Read(&process.env));
  RETURN_IF_ERROR(field.Member("cwd").Read(&process.cwd));
  RETURN_IF_ERROR(ParseCapabilities(field.Member("capabilities"), &process.capabilities));
  RETURN_IF_ERROR(ParseRlimits(field.Member("rlimits"), &process.rlimits));
  RETURN_IF_ERROR(field.Member("noNewPrivileges").Read(&process.no_new_privileges));
  if (const JsonField score = field.Member("oomScoreAdj"); score.present()) {
    RETURN_IF_ERROR(score.Read(&process.oom_score_adj.emplace()));
    if (*process.oom_score_adj < -1000 || *process.oom_score_adj > 1000) {
      return score.Error("must be from -1000 to 1000");
    }
  }
  if (process.args.empty()) return field.Member("args").Error("must not be empty");
  if (process.cwd.empty()) return field.Member("cwd").Error("must not be empty");
  if (process.cwd[0] != '/') return field.Member("cwd").Error("must be an absolute path");
  return process;
}

absl::StatusOr<Process> ParseProcessText(std::string_view text) {
  const JsonDocument document = TRY_STATUS(JsonDocument::Parse(text));
  return ParseProcess(document.root());
}

}  // namespace cloister::spec
