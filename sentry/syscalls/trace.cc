// --strace: one line a syscall, in strace(1)'s manner.

#include <fcntl.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/abi/syscall_signatures.h"
#include "base/log/log.h"
#include "sentry/syscalls/table.h"

namespace cloister::syscalls {
namespace {

std::string TextArgument(Task& task, uint64_t addr) {
  constexpr size_t kShown = 256;
  const Ref<mm::MemoryManager> mm = task.GetMm();
  if (addr == 0) return "NULL";
  if (!mm) return absl::StrFormat("%#x", addr);
  const ErrnoOr<std::string> text = usermem::CopyInString(mm->space(), addr, kShown);
  if (!text.ok()) return absl::StrFormat("%#x", addr);
  return absl::StrCat("\"", absl::CEscape(*text), "\"");
}

std::string ChoiceArgument(const abi::Words& words, uint64_t value) {
  for (const abi::Word& word : words) {
    if (static_cast<uint32_t>(word.value) == static_cast<uint32_t>(value)) return word.name;
  }
  return absl::StrFormat("%#x", value);
}

// What words name, and the rest as a number.
std::string FlagsArgument(const abi::Words& words, uint64_t value) {
  std::string text;
  uint64_t rest = value;
  for (const abi::Word& word : words) {
    if (word.value == 0 ? value != 0 : (rest & word.value) != word.value) continue;
    rest &= ~word.value;
    absl::StrAppend(&text, text.empty() ? "" : "|", word.name);
  }
  if (rest != 0 || text.empty())
    absl::StrAppend(&text, text.empty() ? "" : "|", absl::StrFormat("%#x", rest));
  return text;
}

std::string Argument(Task& task, const abi::Arg& arg, uint64_t value) {
  switch (arg.kind) {
    case abi::Arg::Kind::kInt:
    case abi::Arg::Kind::kUser:
    case abi::Arg::Kind::kSignal:
      return absl::StrCat(static_cast<int>(value));
    case abi::Arg::Kind::kResource:
      return arg.resource == abi::Resource::kAio ? absl::StrFormat("%#x", value)
                                                 : absl::StrCat(static_cast<int>(value));
    case abi::Arg::Kind::kLong:
      return absl::StrCat(static_cast<int64_t>(value));
    case abi::Arg::Kind::kDirFd:
      return static_cast<int>(value) == AT_FDCWD ? "AT_FDCWD" : absl::StrCat(static_cast<int>(value));
    case abi::Arg::Kind::kUint:
    case abi::Arg::Kind::kSize:
      return absl::StrCat(value);
    case abi::Arg::Kind::kMode:
      return absl::StrFormat("%#o", static_cast<uint32_t>(value));
    case abi::Arg::Kind::kFlags:
      return FlagsArgument(*arg.words, value);
    case abi::Arg::Kind::kChoice:
      return ChoiceArgument(*arg.words, value);
    case abi::Arg::Kind::kPath:
    case abi::Arg::Kind::kText:
      return TextArgument(task, value);
    case abi::Arg::Kind::kAddress:
    case abi::Arg::Kind::kBytes:
    case abi::Arg::Kind::kStruct:
    case abi::Arg::Kind::kStrings:
    case abi::Arg::Kind::kPointers:
      return value == 0 ? "NULL" : absl::StrFormat("%#x", value);
    case abi::Arg::Kind::kNone:
    case abi::Arg::Kind::kHex:
      break;
  }
  return absl::StrFormat("%#x", value);
}

}  // namespace

void Trace(Task& task, const SyscallArgs& args, int64_t result) {
  const abi::Signature* const call = abi::FindSyscallSignature(args.number());
  std::string line = absl::StrCat("[", task.tid(), "] ");
  if (call == nullptr) {
    absl::StrAppend(&line, "syscall_", args.number(), "(?)");
  } else {
    absl::StrAppend(&line, call->name, "(");
    for (int i = 0; i < call->arity(); ++i) {
      absl::StrAppend(&line, i > 0 ? ", " : "", Argument(task, call->args[i], args.Raw(i)));
    }
    absl::StrAppend(&line, ")");
  }
  if (result < 0 && result >= -4095) {
    absl::StrAppend(&line, " = -1 ", std::string(ErrnoName(static_cast<Errno>(-result))));
  } else {
    absl::StrAppend(&line, " = ", result > 0xffff ? absl::StrFormat("%#x", result) : absl::StrCat(result));
  }
  LOG(kInfo, "%s", line);
}

}  // namespace cloister::syscalls
