#include "runsc/serve/request.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error/status.h"
#include "runsc/program/program.h"
#include "runsc/serve/places.h"

namespace cloister::serve {
namespace {

constexpr int kMaxStrings = 1024;         // of args, of env
constexpr size_t kMaxString = 128 << 10;  // Linux: MAX_ARG_STRLEN
constexpr size_t kMaxStringsBytes = 1 << 20;
constexpr size_t kMaxPath = 4095;
constexpr size_t kMaxName = 255;
constexpr size_t kMaxInput = 4 << 20;
constexpr size_t kMaxProgram = 1 << 20;
constexpr int kMaxFiles = 256;
constexpr char kDefaultPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

absl::Status Bad(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
}

absl::Status CheckStrings(absl::string_view field,
                          const google::protobuf::RepeatedPtrField<std::string>& strings) {
  if (strings.size() > kMaxStrings) return Bad(field, absl::StrCat("more than ", kMaxStrings));
  size_t bytes = 0;
  for (const std::string& one : strings) {
    if (one.size() > kMaxString) return Bad(field, absl::StrCat("longer than ", kMaxString, " bytes"));
    if (absl::StrContains(one, '\0')) return Bad(field, "holds a NUL byte");
    bytes += one.size() + 1;
  }
  if (bytes > kMaxStringsBytes) return Bad(field, absl::StrCat("more than ", kMaxStringsBytes, " bytes"));
  return absl::OkStatus();
}

absl::Status CheckAbsolute(absl::string_view field, const std::string& path) {
  if (path.empty() || path[0] != '/') return Bad(field, "not an absolute path");
  if (path.size() > kMaxPath) return Bad(field, "too long");
  if (absl::StrContains(path, '\0')) return Bad(field, "holds a NUL byte");
  return absl::OkStatus();
}

absl::Status CheckCommand(Command* command, bool has_files) {
  if (command->args().empty() || command->args(0).empty()) return Bad("command.args", "must be given");
  RETURN_IF_ERROR(CheckStrings("command.args", command->args()));
  RETURN_IF_ERROR(CheckStrings("command.env", command->env()));
  bool has_path = false;
  for (const std::string& variable : command->env()) {
    const size_t name = variable.find('=');
    if (name == 0 || name == std::string::npos) return Bad("command.env", "not of the form NAME=value");
    has_path |= absl::StartsWith(variable, "PATH=");
  }
  if (!has_path) command->add_env(kDefaultPath);
  if (command->cwd().empty()) command->set_cwd(has_files ? kFilesPlace : kScratchPlace);
  RETURN_IF_ERROR(CheckAbsolute("command.cwd", command->cwd()));
  if (command->input().size() > kMaxInput) return Bad("command.input", "longer than 4 MiB");
  return absl::OkStatus();
}

absl::Status CheckProgram(const Program& program) {
  if (program.text().size() > kMaxProgram) return Bad("program.text", "longer than 1 MiB");
  const size_t line = program::FindBadLine(program.text());
  if (line != 0)
    return Bad("program.text",
               absl::StrCat("line ", line, " is no call, or one more than ", program::kMostCalls));
  if (program::Parse(program.text()).calls.empty()) return Bad("program.text", "has no calls");
  return absl::OkStatus();
}

absl::Status CheckName(const std::string& name) {
  if (name.empty() || name.size() > kMaxPath || absl::StrContains(name, '\0'))
    return Bad("files.name", "empty, too long or with a NUL byte");
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part.empty() || part == "." || part == ".." || part.size() > kMaxName)
      return Bad("files.name", "not a relative path without empty parts, \".\" and \"..\"");
  }
  return absl::OkStatus();
}

// No file may be another's directory, nor be there twice.
absl::Status CheckFiles(const RunRequest& request) {
  if (request.files_size() > kMaxFiles) return Bad("files", absl::StrCat("more than ", kMaxFiles));
  std::set<std::string> files, directories;
  for (const File& file : request.files()) {
    RETURN_IF_ERROR(CheckName(file.name()));
    if (!files.insert(file.name()).second) return Bad("files.name", "the same name twice");
    for (size_t end = file.name().find('/'); end != std::string::npos; end = file.name().find('/', end + 1))
      directories.insert(file.name().substr(0, end));
  }
  const bool clash = std::any_of(files.begin(), files.end(),
                                 [&](const std::string& name) { return directories.count(name) != 0; });
  return clash ? Bad("files.name", "one file is another's directory") : absl::OkStatus();
}

absl::Status Settle(absl::string_view field, uint64_t fallback, uint64_t least, uint64_t most,
                    uint64_t* value) {
  if (*value == 0) *value = std::min(fallback, most);
  if (*value < least || *value > most)
    return Bad(field, absl::StrCat("must be between ", least, " and ", most));
  return absl::OkStatus();
}

absl::Status SettleLimits(const Bounds& bounds, Limits* limits) {
  uint64_t wall = limits->wall_ms(), cpu = limits->cpu_ms(), memory = limits->memory_bytes();
  uint64_t processes = limits->processes(), output = limits->output_bytes(), calls = limits->trace_calls();
  RETURN_IF_ERROR(Settle("limits.wall_ms", 10'000, 1, bounds.wall_ms, &wall));
  if (cpu != 0) RETURN_IF_ERROR(Settle("limits.cpu_ms", 0, 1, uint64_t{1} << 32, &cpu));
  RETURN_IF_ERROR(Settle("limits.memory_bytes", 256 << 20, 32 << 20, bounds.memory_bytes, &memory));
  RETURN_IF_ERROR(Settle("limits.processes", 256, 1, 1 << 15, &processes));
  RETURN_IF_ERROR(Settle("limits.output_bytes", 1 << 20, 1, 256 << 20, &output));
  RETURN_IF_ERROR(Settle("limits.trace_calls", 100'000, 1, 10'000'000, &calls));
  limits->set_wall_ms(wall);
  limits->set_cpu_ms(cpu);
  limits->set_memory_bytes(memory);
  limits->set_processes(processes);
  limits->set_output_bytes(output);
  limits->set_trace_calls(calls);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRequest(const Bounds& bounds, RunRequest* request) {
  switch (request->work_case()) {
    case RunRequest::kCommand:
      RETURN_IF_ERROR(CheckCommand(request->mutable_command(), request->files_size() > 0));
      break;
    case RunRequest::kProgram:
      RETURN_IF_ERROR(CheckProgram(request->program()));
      break;
    case RunRequest::WORK_NOT_SET:
      return Bad("work", "a command or a program must be given");
  }
  if (request->root().empty()) request->set_root("/");
  RETURN_IF_ERROR(CheckAbsolute("root", request->root()));
  RETURN_IF_ERROR(CheckFiles(*request));
  if (request->platform() < PLATFORM_DEFAULT || request->platform() > PLATFORM_PTRACE)
    return Bad("platform", "unknown");
  return SettleLimits(bounds, request->mutable_limits());
}

}  // namespace cloister::serve
