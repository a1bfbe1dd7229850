#include "runsc/program/program.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace cloister::program {
namespace {

constexpr int kDeepest = 6;
constexpr size_t kMostItems = 256;

const abi::Signature* FindCall(std::string_view name) {
  static const auto* const by_name = [] {
    auto* const map = new std::unordered_map<std::string_view, const abi::Signature*>;
    for (const abi::Signature& call : abi::kSyscallSignatures) map->emplace(call.name, &call);
    return map;
  }();
  const auto found = by_name->find(name);
  return found != by_name->end() ? found->second : nullptr;
}

// Reads one line from the left. A function that fails leaves the line anywhere.
class Reader {
 public:
  explicit Reader(std::string_view line) : rest_(line) {}

  bool Take(char wanted) {
    SkipBlanks();
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::string_view Word() {
    SkipBlanks();
    size_t size = 0;
    while (size < rest_.size() && (isalnum(static_cast<unsigned char>(rest_[size])) || rest_[size] == '_'))
      ++size;
    const std::string_view word = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return word;
  }

  bool Number(uint64_t* number) {
    const bool negative = Take('-');
    const bool hex = rest_.substr(0, 2) == "0x";
    if (hex) rest_.remove_prefix(2);
    const auto [end, error] =
        std::from_chars(rest_.data(), rest_.data() + rest_.size(), *number, hex ? 16 : 10);
    if (error != std::errc()) return false;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    if (negative) *number = -*number;
    return true;
  }

  bool Text(std::string* bytes) {
    size_t end = 0;
    while (end < rest_.size() && rest_[end] != '"') end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) return false;
    if (!absl::CUnescape(absl::string_view(rest_.data(), end), bytes)) return false;
    rest_.remove_prefix(end + 1);
    return true;
  }

  bool OneValue(Value* value, int depth = 0) {
    if (depth > kDeepest) return false;
    value->kind = Value::Kind::kNumber;
    if (Take('r')) {
      value->kind = Value::Kind::kRegister;
      return Number(&value->number) && value->number < kRegisters;
    }
    if (Take('*')) {
      value->kind = Take('*') ? Value::Kind::kLoad8 : Value::Kind::kLoad4;
      return Number(&value->number) && value->number < kScratchSize;
    }
    if (!Take('&')) return Number(&value->number);
    value->kind = Value::Kind::kPointer;
    if (!Number(&value->number) || value->number >= kScratchSize) return false;
    return !Take('[') || Items(value, depth);
  }

 private:
  void SkipBlanks() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }

  bool Items(Value* value, int depth) {
    while (!Take(']')) {
      if (!value->items.empty() && !Take(',')) return false;
      if (value->items.size() == kMostItems) return false;
      Item& item = value->items.emplace_back();
      if (Take('"')) {
        if (!Text(&item.bytes)) return false;
        continue;
      }
      uint64_t width = 0;
      if (!Number(&width) || (width != 1 && width != 2 && width != 4 && width != 8)) return false;
      item.width = static_cast<uint8_t>(width);
      if (!Take(':') || !OneValue(&item.value, depth + 1)) return false;
    }
    return true;
  }

  std::string_view rest_;
};

std::optional<Call> ParseCall(std::string_view line) {
  Reader reader(line);
  Call call;
  uint64_t number = 0;
  if (!reader.Number(&number)) return std::nullopt;
  call.task = static_cast<uint8_t>(number % kTasks);
  std::string_view word = reader.Word();
  if (reader.Take('=')) {
    if (word.size() < 2 || !Reader(word.substr(1)).Number(&number) || number >= kRegisters)
      return std::nullopt;
    call.into = static_cast<int8_t>(number);
    word = reader.Word();
  }
  call.signature = FindCall(word);
  if (call.signature == nullptr || !reader.Take('(')) return std::nullopt;
  while (!reader.Take(')')) {
    if (call.args.size() == 6 || (!call.args.empty() && !reader.Take(','))) return std::nullopt;
    if (!reader.OneValue(&call.args.emplace_back())) return std::nullopt;
  }
  return call;
}

void PrintNumber(std::string* text, uint64_t number) {
  const auto as_signed = static_cast<int64_t>(number);
  if (as_signed < 0 && as_signed > -4096) {
    absl::StrAppend(text, as_signed);
  } else if (number < 10) {
    absl::StrAppend(text, number);
  } else {
    absl::StrAppend(text, "0x", absl::Hex(number));
  }
}

void PrintValue(std::string* text, const Value& value) {
  switch (value.kind) {
    case Value::Kind::kNumber:
      return PrintNumber(text, value.number);
    case Value::Kind::kRegister:
      absl::StrAppend(text, "r", value.number);
      return;
    case Value::Kind::kLoad4:
    case Value::Kind::kLoad8:
      absl::StrAppend(text, value.kind == Value::Kind::kLoad4 ? "*" : "**");
      return PrintNumber(text, value.number);
    case Value::Kind::kPointer:
      break;
  }
  absl::StrAppend(text, "&");
  PrintNumber(text, value.number);
  if (value.items.empty()) return;
  const char* separator = "[";
  for (const Item& item : value.items) {
    absl::StrAppend(text, separator);
    separator = ", ";
    if (item.width == 0) {
      absl::StrAppend(text, "\"", absl::CHexEscape(item.bytes), "\"");
      continue;
    }
    absl::StrAppend(text, static_cast<int>(item.width), ":");
    PrintValue(text, item.value);
  }
  absl::StrAppend(text, "]");
}

}  // namespace

Program Parse(std::string_view text) {
  Program program;
  for (const absl::string_view line :
       absl::StrSplit(absl::string_view(text.data(), text.size()), '\n', absl::SkipEmpty())) {
    if (line == "races") program.races = true;
    if (program.calls.size() == kMostCalls) break;
    if (std::optional<Call> call = ParseCall(std::string_view(line.data(), line.size())))
      program.calls.push_back(*std::move(call));
  }
  return program;
}

size_t FindBadLine(std::string_view text) {
  size_t number = 0, calls = 0;
  for (const absl::string_view line : absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    ++number;
    if (line.empty() || line[0] == '#' || line == "races") continue;
    if (++calls > kMostCalls || !ParseCall(std::string_view(line.data(), line.size()))) return number;
  }
  return 0;
}

std::string Print(const Program& program) {
  std::string text = program.races ? "races\n" : "";
  for (const Call& call : program.calls) {
    absl::StrAppend(&text, static_cast<int>(call.task), " ");
    if (call.into >= 0) absl::StrAppend(&text, "r", static_cast<int>(call.into), " = ");
    absl::StrAppend(&text, call.signature->name, "(");
    for (size_t i = 0; i < call.args.size(); ++i) {
      if (i > 0) absl::StrAppend(&text, ", ");
      PrintValue(&text, call.args[i]);
    }
    absl::StrAppend(&text, ")\n");
  }
  return text;
}

}  // namespace cloister::program
