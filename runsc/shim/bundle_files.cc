#include "runsc/shim/bundle_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "runsc/spec/json_field.h"
#include "runsc/spec/spec.h"

namespace cloister::shim {

absl::Status WriteInBundle(const std::string& bundle, std::string_view name, std::string_view text) {
  const std::string path = absl::StrCat(bundle, "/", std::string(name));
  const std::string temporary = absl::StrCat(bundle, "/.", std::string(name));
  {
    const UniqueFd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.ok()) return HostErrorNow(temporary);
    if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      return HostErrorNow(temporary);
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) return HostErrorNow(path);
  return absl::OkStatus();
}

absl::StatusOr<int> ReadPidFile(const std::string& path) {
  const std::string text = TRY_STATUS(spec::ReadTextFile(path));
  int pid = 0;
  if (!absl::SimpleAtoi(text, &pid) || pid <= 0) return absl::DataLossError(absl::StrCat(path, ": no pid"));
  return pid;
}

std::string LastError(const std::string& log_path) {
  const std::string text = spec::ReadTextFile(log_path).value_or("");
  std::string message;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const absl::StatusOr<spec::JsonDocument> record =
        spec::JsonDocument::Parse(std::string_view(line.data(), line.size()));
    if (!record.ok()) continue;
    std::string level, text_of_it;
    if (record->root().Member("level").Read(&level).ok() && level == "error" &&
        record->root().Member("msg").Read(&text_of_it).ok() && !text_of_it.empty()) {
      message = text_of_it;
    }
  }
  return message;
}

std::string Annotation(const std::string& bundle, std::string_view name) {
  const absl::StatusOr<std::string> text = spec::ReadTextFile(bundle + "/config.json");
  if (!text.ok()) return "";
  const absl::StatusOr<spec::JsonDocument> config = spec::JsonDocument::Parse(*text);
  std::string value;
  if (!config.ok() || !config->root().Member("annotations").Member(name).Read(&value).ok()) return "";
  return value;
}

bool IsPlainName(std::string_view name) {
  constexpr size_t kMaxLength = 128;
  if (name.empty() || name.size() > kMaxLength || name[0] == '.' || name[0] == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-' || c == '+';
  });
}

}  // namespace cloister::shim
