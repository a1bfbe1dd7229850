#include "runsc/shim/logger_uri.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error/status.h"

namespace cloister::shim {
namespace {

absl::StatusOr<std::string> Unescape(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      plain.push_back(' ');
      continue;
    }
    if (text[i] != '%') {
      plain.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(text[i + 1]) || !absl::ascii_isxdigit(text[i + 2])) {
      return absl::InvalidArgumentError("a broken escape in the logger's URI");
    }
    plain += absl::HexStringToBytes(text.substr(i + 1, 2));
    i += 2;
  }
  // NUL would cut an argument short.
  if (plain.find('\0') != std::string::npos) return absl::InvalidArgumentError("NUL in the logger's URI");
  return plain;
}

}  // namespace

absl::StatusOr<LoggerUri> ParseLoggerUri(std::string_view uri) {
  absl::string_view rest(uri.data(), uri.size());
  if (!absl::ConsumePrefix(&rest, "binary://")) return absl::InvalidArgumentError("no binary:// URI");
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(rest, absl::MaxSplits('?', 1));
  LoggerUri logger{.path = TRY_STATUS(Unescape(halves.first))};
  if (logger.path.empty() || logger.path[0] != '/') {
    return absl::InvalidArgumentError(absl::StrCat("the logger's path must be absolute: ", logger.path));
  }
  for (const absl::string_view pair : absl::StrSplit(halves.second, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    logger.args.push_back(TRY_STATUS(Unescape(parts.first)));
    if (!parts.second.empty()) logger.args.push_back(TRY_STATUS(Unescape(parts.second)));
  }
  return logger;
}

}  // namespace cloister::shim
