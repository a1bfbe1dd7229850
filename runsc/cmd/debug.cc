#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "runsc/cmd/filter_tables.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"

namespace cloister::cmd {
namespace {

absl::StatusOr<int> PrintUnimplemented(container::Container& container) {
  const control::DebugReply reply = TRY_STATUS(container.Debug(control::DebugRequest::UNIMPLEMENTED));
  for (const control::SyscallCount& call : reply.syscalls()) {
    printf("%4u %-24s %llu\n", call.number(), call.name().c_str(),
           static_cast<unsigned long long>(call.count()));
  }
  return 0;
}

absl::StatusOr<int> PrintText(container::Container& container, control::DebugRequest::What what) {
  const control::DebugReply reply = TRY_STATUS(container.Debug(what));
  fputs(reply.text().c_str(), stdout);
  return 0;
}

}  // namespace

absl::StatusOr<int> RunDebug(const Globals& globals, const Args& args) {
  Flags flags(
      "runsc debug", "filters | syscalls | unimplemented ID | tasks ID | gofer ID",
      "filters: the host system calls that sentry, gofer and stubs may make, and why, on the platform of\n"
      "--platform.\n"
      "syscalls: the system calls of Linux and how much of each a container has, as JSON.\n"
      "unimplemented: system calls that a container made and that are missing, or there in part.\n"
      "tasks: every task of a container and what it waits on.\n"
      "gofer: how often a container's gofer was asked.");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "debug", 1, 2));
  const Args& words = flags.positionals();
  if (words[0] == "filters") {
    fputs(FormatFilters(globals.runtime.platform).c_str(), stdout);
    return 0;
  }
  if (words[0] == "syscalls") {
    fputs(FormatSyscalls().c_str(), stdout);
    return 0;
  }
  if (words[0] != "unimplemented" && words[0] != "tasks" && words[0] != "gofer") {
    return absl::InvalidArgumentError(absl::StrCat("debug: unknown \"", words[0], "\""));
  }
  RETURN_IF_ERROR(CheckCount(flags, "debug", 2, 2));
  container::Container container = TRY_STATUS(container::Container::Open(globals.runtime.root, words[1]));
  if (words[0] == "tasks") return PrintText(container, control::DebugRequest::TASKS);
  if (words[0] == "gofer") return PrintText(container, control::DebugRequest::GOFER);
  return PrintUnimplemented(container);
}

}  // namespace cloister::cmd
