#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "runsc/install/edit.h"

namespace cloister::install {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kIndent = 4;

absl::StatusOr<Json> Parse(std::string_view text) {
  if (absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size())).empty()) return Json::object();
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InvalidArgumentError("not valid JSON");
  if (!json.is_object()) return absl::InvalidArgumentError("not a JSON object");
  const auto runtimes = json.find("runtimes");
  if (runtimes != json.end() && !runtimes->is_object()) {
    return absl::InvalidArgumentError("runtimes: not an object");
  }
  return json;
}

// As deep as the file's own first indented line.
int IndentOf(std::string_view text) {
  const size_t newline = text.find('\n');
  if (newline == std::string_view::npos) return kIndent;
  const size_t word = text.find_first_not_of(' ', newline + 1);
  if (word == std::string_view::npos || word == newline + 1 || text[word] == '}') return kIndent;
  return static_cast<int>(word - newline - 1);
}

std::string Print(const Json& json, std::string_view before) {
  return json.dump(IndentOf(before), ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

absl::Status CheckName(std::string_view name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
  if (plain && !name.empty() && absl::ascii_isalnum(static_cast<unsigned char>(name[0])))
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--runtime: \"", std::string(name), "\" must be letters, digits, '-', '_' and '.'"));
}

absl::StatusOr<Edit> AddToDocker(std::string_view text, const RuntimeEntry& entry) {
  Json json = TRY_STATUS(Parse(text));
  Json wanted = {{"path", entry.binary}};
  if (!entry.args.empty()) wanted["runtimeArgs"] = entry.args;
  Json& runtimes = json["runtimes"];
  const bool there = runtimes.contains(entry.name);
  if (there && runtimes[entry.name] == wanted) return Edit{.text = std::string(text)};
  runtimes[entry.name] = wanted;
  return Edit{Print(json, text),
              absl::StrCat(there ? "changed" : "added", " runtimes.", entry.name, ": ", wanted.dump())};
}

absl::StatusOr<Edit> RemoveFromDocker(std::string_view text, const std::string& name) {
  Json json = TRY_STATUS(Parse(text));
  if (!json.contains("runtimes") || !json["runtimes"].contains(name)) return Edit{.text = std::string(text)};
  if (json.contains("default-runtime") && json["default-runtime"] == name) {
    return absl::FailedPreconditionError(
        absl::StrCat("default-runtime is ", name, ", which Docker would miss"));
  }
  json["runtimes"].erase(name);
  if (json["runtimes"].empty()) json.erase("runtimes");
  return Edit{json.empty() ? "" : Print(json, text), absl::StrCat("removed runtimes.", name)};
}

}  // namespace cloister::install
