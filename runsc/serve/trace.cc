#include "runsc/serve/trace.h"

#include <charconv>

#include "absl/strings/match.h"
#include "base/abi/syscall_signatures.h"

namespace cloister::serve {
namespace {

// "2026-11-24T03:50:12.345678Z sentry I [" before the thread's number.
constexpr std::string_view kBefore = "Z sentry I [";

bool TakeNumber(std::string_view* text, auto* number, int base = 10) {
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number, base);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return true;
}

bool Take(std::string_view* text, std::string_view wanted) {
  if (text->substr(0, wanted.size()) != wanted) return false;
  text->remove_prefix(wanted.size());
  return true;
}

// Up to the closing parenthesis, which it takes.
bool TakeArguments(std::string_view* text, Syscall* call) {
  bool quoted = false;
  size_t begin = 0;
  for (size_t i = 0; i < text->size(); ++i) {
    const char c = (*text)[i];
    if (quoted && c == '\\') {
      ++i;
      continue;
    }
    if (c == '"') quoted = !quoted;
    if (quoted || (c != ',' && c != ')')) continue;
    if (c == ',' || i > begin) call->add_args(std::string(text->substr(begin, i - begin)));
    if (c == ')') {
      text->remove_prefix(i + 1);
      return true;
    }
    begin = i + 2;  // ", "
  }
  return false;
}

// "3", "0x7f0000", "-1 ENOENT".
bool TakeResult(std::string_view text, Syscall* call) {
  if (Take(&text, "-1 ")) {
    call->set_result(-1);
    call->set_error(std::string(text));
    return !text.empty();
  }
  int64_t result = 0;
  const bool hex = Take(&text, "0x");
  uint64_t bits = 0;
  if (hex ? !TakeNumber(&text, &bits, 16) : !TakeNumber(&text, &result)) return false;
  call->set_result(hex ? static_cast<int64_t>(bits) : result);
  return text.empty();
}

}  // namespace

std::optional<Syscall> ParseTraceLine(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0) return std::nullopt;
  line.remove_prefix(space - 1);
  uint32_t thread = 0;
  if (!Take(&line, kBefore) || !TakeNumber(&line, &thread) || !Take(&line, "] ")) return std::nullopt;
  const size_t name = line.find('(');
  if (name == std::string_view::npos) return std::nullopt;
  Syscall call;
  call.set_thread(thread);
  call.set_name(std::string(line.substr(0, name)));
  line.remove_prefix(name + 1);
  if (!TakeArguments(&line, &call) || !Take(&line, " = ") || !TakeResult(line, &call)) return std::nullopt;
  return call;
}

void LineSplitter::Add(std::string_view bytes) {
  pending_.erase(0, taken_);
  taken_ = 0;
  if (dropping_) {
    const size_t end = bytes.find('\n');
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    dropping_ = false;
  }
  pending_.append(bytes);
}

std::optional<std::string_view> LineSplitter::Next() {
  const std::string_view rest = std::string_view(pending_).substr(taken_);
  const size_t end = rest.find('\n');
  if (end != std::string_view::npos) {
    taken_ += end + 1;
    return rest.substr(0, end);
  }
  if (rest.size() > kMaxLine) {
    taken_ = pending_.size();
    dropping_ = true;
  }
  return std::nullopt;
}

void CoverageCounter::Count(const Syscall& call) {
  ++calls_;
  ++answers_[{call.name(), call.error()}];
}

Coverage CoverageCounter::Sum(uint32_t handlers) const {
  std::map<uint32_t, CallCoverage> calls;
  for (const auto& [answer, count] : answers_) {
    const auto& [name, error] = answer;
    const abi::Signature* const signature = abi::FindSyscallSignature(name);
    if (signature == nullptr) continue;  // a number that Linux does not have
    CallCoverage& call = calls[static_cast<uint32_t>(signature->number)];
    call.set_number(static_cast<uint32_t>(signature->number));
    call.set_name(name);
    Answer* const one = call.add_answers();
    one->set_error(error);
    one->set_count(count);
  }
  Coverage coverage;
  coverage.set_handlers(handlers);
  coverage.set_handlers_reached(static_cast<uint32_t>(calls.size()));
  for (auto& [number, call] : calls) *coverage.add_calls() = std::move(call);
  return coverage;
}

}  // namespace cloister::serve
