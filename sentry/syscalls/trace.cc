// --strace: one line a syscall, in strace(1)'s manner.

#include <fcntl.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log/log.h"
#include "sentry/syscalls/table.h"

namespace cloister::syscalls {
namespace {

std::string PathArgument(Task& task, uint64_t addr) {
  constexpr size_t kShown = 256;
  const Ref<mm::MemoryManager> mm = task.GetMm();
  if (addr == 0) return "NULL";
  if (!mm) return absl::StrFormat("%#x", addr);
  const ErrnoOr<std::string> text = usermem::CopyInString(mm->space(), addr, kShown);
  if (!text.ok()) return absl::StrFormat("%#x", addr);
  return absl::StrCat("\"", absl::CEscape(*text), "\"");
}

std::string Argument(Task& task, char shape, uint64_t value) {
  switch (shape) {
    case 'd':
    case 'f':
      return absl::StrCat(static_cast<int>(value));
    case 'a':
      return static_cast<int>(value) == AT_FDCWD ? "AT_FDCWD" : absl::StrCat(static_cast<int>(value));
    case 'u':
    case 'z':
      return absl::StrCat(value);
    case 'o':
      return absl::StrFormat("%#o", static_cast<uint32_t>(value));
    case 's':
      return PathArgument(task, value);
    case 'p':
    case 'b':
      return value == 0 ? "NULL" : absl::StrFormat("%#x", value);
    default:
      return absl::StrFormat("%#x", value);
  }
}

}  // namespace

void Trace(Task& task, const SyscallArgs& args, int64_t result) {
  const Entry* const entry = Find(args.number());
  std::string line = absl::StrCat("[", task.tid(), "] ");
  if (entry == nullptr) {
    absl::StrAppend(&line, "syscall_", args.number(), "(?)");
  } else {
    absl::StrAppend(&line, entry->name, "(");
    for (int i = 0; entry->shape[i] != '\0'; ++i) {
      absl::StrAppend(&line, i > 0 ? ", " : "", Argument(task, entry->shape[i], args.Raw(i)));
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
