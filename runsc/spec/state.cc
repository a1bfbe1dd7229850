#include "runsc/spec/state.h"

#include <nlohmann/json.hpp>

#include "base/error/status.h"
#include "runsc/spec/json_field.h"

namespace cloister::spec {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const ProcessId& process) {
  return Json{{"pid", process.pid}, {"startTime", process.start_time}};
}

absl::Status Read(const JsonField& field, ProcessId* process) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(field.Member("pid").Read(&process->pid));
  return field.Member("startTime").Read(&process->start_time);
}

std::string Dump(const Json& json, std::string_view indent) {
  // nlohmann repeats one character, so that an indent is a number of them.
  const int width = indent.empty() ? -1 : static_cast<int>(indent.size());
  return json.dump(width, indent.empty() ? ' ' : indent[0], false, Json::error_handler_t::replace);
}

}  // namespace

std::string FormatState(const State& state) {
  Json execs = Json::array();
  for (const ExecId& exec : state.execs) {
    execs.push_back({{"monitor", ToJson(exec.monitor)}, {"guestPid", exec.guest_pid}});
  }
  const Json json = {
      {"ociVersion", state.oci_version},
      {"id", state.id},
      {"bundle", state.bundle},
      {"rootfs", state.rootfs},
      {"created", state.created},
      {"owner", state.owner},
      {"annotations", state.annotations},
      {"ready", state.ready},
      {"started", state.started},
      {"monitor", ToJson(state.monitor)},
      {"sentry", ToJson(state.sentry)},
      {"gofer", ToJson(state.gofer)},
      {"execs", execs},
      {"cgroups", state.cgroups},
  };
  return Dump(json, "");
}

absl::StatusOr<State> ParseState(std::string_view text) {
  const JsonDocument document = TRY_STATUS(JsonDocument::Parse(text));
  const JsonField root = document.root();
  State state;
  RETURN_IF_ERROR(root.Member("ociVersion").Read(&state.oci_version));
  RETURN_IF_ERROR(root.Member("id").Read(&state.id));
  RETURN_IF_ERROR(root.Member("bundle").Read(&state.bundle));
  RETURN_IF_ERROR(root.Member("rootfs").Read(&state.rootfs));
  RETURN_IF_ERROR(root.Member("created").Read(&state.created));
  RETURN_IF_ERROR(root.Member("owner").Read(&state.owner));
  RETURN_IF_ERROR(root.Member("annotations").Read(&state.annotations));
  RETURN_IF_ERROR(root.Member("ready").Read(&state.ready));
  RETURN_IF_ERROR(root.Member("started").Read(&state.started));
  RETURN_IF_ERROR(Read(root.Member("monitor"), &state.monitor));
  RETURN_IF_ERROR(Read(root.Member("sentry"), &state.sentry));
  RETURN_IF_ERROR(Read(root.Member("gofer"), &state.gofer));
  for (const JsonField& entry : TRY_STATUS(root.Member("execs").Elements())) {
    ExecId& exec = state.execs.emplace_back();
    RETURN_IF_ERROR(Read(entry.Member("monitor"), &exec.monitor));
    RETURN_IF_ERROR(entry.Member("guestPid").Read(&exec.guest_pid));
  }
  RETURN_IF_ERROR(root.Member("cgroups").Read(&state.cgroups));
  if (state.id.empty()) return root.Member("id").Error("must not be empty");
  return state;
}

std::string_view StatusName(Status status) {
  switch (status) {
    case Status::kCreating:
      return "creating";
    case Status::kCreated:
      return "created";
    case Status::kRunning:
      return "running";
    case Status::kPaused:
      return "paused";
    case Status::kStopped:
      return "stopped";
  }
  return "stopped";
}

std::string OciState(const State& state, Status status, std::string_view indent) {
  Json json = {
      {"ociVersion", state.oci_version},
      {"id", state.id},
      {"pid", status == Status::kStopped ? 0 : state.monitor.pid},
      {"status", std::string(StatusName(status))},
      {"bundle", state.bundle},
      {"rootfs", state.rootfs},
      {"created", state.created},
  };
  if (!state.annotations.empty()) json["annotations"] = state.annotations;
  json["owner"] = state.owner;
  return Dump(json, indent);
}

std::string HookState(const State& state, Status status) {
  Json json = {
      {"ociVersion", state.oci_version}, {"id", state.id}, {"status", std::string(StatusName(status))}};
  if (status != Status::kStopped) json["pid"] = state.monitor.pid;
  json["bundle"] = state.bundle;
  if (!state.annotations.empty()) json["annotations"] = state.annotations;
  return Dump(json, "");
}

}  // namespace cloister::spec
