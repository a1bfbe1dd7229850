#include "runsc/shim/runtime_config.h"

#include <toml++/toml.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error/status.h"
#include "base/host/own_path.h"
#include "runsc/shim/api/options.pb.h"
#include "runsc/shim/bundle_files.h"
#include "runsc/spec/json_field.h"
#include "runsc/spec/spec.h"

namespace cloister::shim {
namespace {

constexpr char kSaved[] = "runsc-shim.json";

// Beside the shim, else in the PATH.
absl::StatusOr<std::string> FindRunsc() {
  if (const absl::StatusOr<std::string> self = OwnPath(); self.ok()) {
    const std::string beside = self->substr(0, self->rfind('/')) + "/runsc";
    if (access(beside.c_str(), X_OK) == 0) return beside;
  }
  const char* search = getenv("PATH");
  for (const absl::string_view directory :
       absl::StrSplit(search != nullptr ? search : "", ':', absl::SkipEmpty())) {
    const std::string candidate = absl::StrCat(directory, "/runsc");
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return absl::NotFoundError("no runsc beside the shim or in the PATH");
}

std::string ValueText(const toml::node& node) {
  if (const std::optional<std::string> text = node.value_exact<std::string>()) return *text;
  if (const std::optional<bool> flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  if (const std::optional<int64_t> number = node.value_exact<int64_t>()) return absl::StrCat(*number);
  return "";
}

absl::Status ReadArgs(const toml::table& table, const std::string& name, std::vector<std::string>* args) {
  if (const toml::node* given = table.get("runtime_args"); given != nullptr) {
    if (!given->is_array())
      return absl::InvalidArgumentError(name + ": runtime_args: must be a list of strings");
    for (const toml::node& one : *given->as_array()) {
      if (!one.is_string())
        return absl::InvalidArgumentError(name + ": runtime_args: must be a list of strings");
      args->push_back(one.as_string()->get());
    }
  }
  const toml::node* flags = table.get("runsc_config");
  if (flags == nullptr) return absl::OkStatus();
  if (!flags->is_table()) return absl::InvalidArgumentError(name + ": runsc_config: must be a table");
  for (const auto& [key, value] : *flags->as_table()) {
    const std::string text = ValueText(value);
    if (text.empty())
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": runsc_config.", std::string(key.str()), ": must be a string"));
    args->push_back(absl::StrCat("--", std::string(key.str()), "=", text));
  }
  return absl::OkStatus();
}

absl::StatusOr<RuntimeConfig> FromRuncOptions(const std::string& bytes) {
  api::RuncOptions options;
  if (!options.ParseFromString(bytes)) return absl::InvalidArgumentError("options: malformed");
  RuntimeConfig config;
  config.binary = options.binary_name();
  if (!options.root().empty()) config.root = options.root();
  if (options.systemd_cgroup()) config.args.push_back("--systemd-cgroup");
  return config;
}

absl::StatusOr<RuntimeConfig> FromRuntimeOptions(const std::string& bytes) {
  api::RuntimeOptions options;
  if (!options.ParseFromString(bytes)) return absl::InvalidArgumentError("options: malformed");
  if (options.config_path().empty()) return ParseRuntimeConfig(options.config_body(), "options");
  return ParseRuntimeConfig(TRY_STATUS(spec::ReadTextFile(options.config_path())), options.config_path());
}

absl::StatusOr<RuntimeConfig> Complete(RuntimeConfig config) {
  if (config.binary.empty()) config.binary = TRY_STATUS(FindRunsc());
  if (config.binary.find('/') == std::string::npos || config.binary[0] != '/' || config.root[0] != '/') {
    return absl::InvalidArgumentError("options: runsc and its root must be absolute paths");
  }
  return config;
}

}  // namespace

absl::StatusOr<RuntimeConfig> ParseRuntimeConfig(std::string_view text, const std::string& name) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return absl::InvalidArgumentError(absl::StrCat(name, ":", parsed.error().source().begin.line, ": ",
                                                   std::string(parsed.error().description())));
  }
  const toml::table& table = parsed.table();
  RuntimeConfig config;
  config.binary = table["binary_name"].value_or(std::string());
  config.root = table["root"].value_or(config.root);
  RETURN_IF_ERROR(ReadArgs(table, name, &config.args));
  return config;
}

absl::StatusOr<RuntimeConfig> ResolveRuntime(const api::Any& options) {
  if (options.type_url().empty()) return Complete({});
  if (options.type_url() == "containerd.runc.v1.Options") {
    return Complete(TRY_STATUS(FromRuncOptions(options.value())));
  }
  if (options.type_url() == "runtimeoptions.v1.Options") {
    return Complete(TRY_STATUS(FromRuntimeOptions(options.value())));
  }
  return absl::InvalidArgumentError(absl::StrCat("options: unknown type ", options.type_url()));
}

absl::Status SaveRuntime(const std::string& bundle, const RuntimeConfig& config) {
  const nlohmann::json saved = {{"binary", config.binary}, {"root", config.root}, {"args", config.args}};
  return WriteInBundle(bundle, kSaved, saved.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

absl::StatusOr<RuntimeConfig> LoadRuntime(const std::string& bundle) {
  const absl::StatusOr<std::string> text = spec::ReadTextFile(absl::StrCat(bundle, "/", kSaved));
  if (!text.ok()) return Complete({});
  const spec::JsonDocument document = TRY_STATUS(spec::JsonDocument::Parse(*text));
  RuntimeConfig config;
  RETURN_IF_ERROR(document.root().Member("binary").Read(&config.binary));
  RETURN_IF_ERROR(document.root().Member("root").Read(&config.root));
  RETURN_IF_ERROR(document.root().Member("args").Read(&config.args));
  return Complete(config);
}

}  // namespace cloister::shim
