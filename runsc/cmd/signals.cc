#include "runsc/cmd/signals.h"

#include <signal.h>
#include <string.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace cloister::cmd {
namespace {

constexpr int kFirstRealTime = 34;  // as programs see it; glibc keeps 32 and 33
constexpr int kLastSignal = 64;

}  // namespace

absl::StatusOr<int> ParseSignal(const std::string& text) {
  const absl::Status unknown = absl::InvalidArgumentError(absl::StrCat("unknown signal \"", text, "\""));
  int number;
  if (absl::SimpleAtoi(text, &number)) {
    if (number < 0 || number > kLastSignal) return unknown;
    return number;
  }
  const std::string upper = absl::AsciiStrToUpper(text);
  absl::string_view name = absl::StripPrefix(upper, "SIG");
  for (number = 1; number < kFirstRealTime; ++number) {
    const char* known = sigabbrev_np(number);
    if (known != nullptr && name == known) return number;
  }
  int base = kFirstRealTime;
  if (absl::ConsumePrefix(&name, "RTMIN")) {
    number = 0;
  } else if (absl::ConsumePrefix(&name, "RTMAX")) {
    number = 0;
    base = kLastSignal;
  } else {
    return unknown;
  }
  if (!name.empty() && !absl::SimpleAtoi(name, &number)) return unknown;
  if (base + number < kFirstRealTime || base + number > kLastSignal) return unknown;
  return base + number;
}

}  // namespace cloister::cmd
