#include <sys/prctl.h>

#include <string>
#include <string_view>

#include "absl/strings/str_format.h"
#include "base/abi/syscall_signatures.h"
#include "gofer/server/filter.h"
#include "gofer/server/gofer_main.h"
#include "platform/filter/stub_filter.h"
#include "platform/filter/tracee_filter.h"
#include "runsc/cmd/filter_tables.h"
#include "runsc/cmd/runsc.h"
#include "runsc/sandbox/monitor.h"
#include "sentry/boot/filter.h"
#include "sentry/boot/sentry_main.h"
#include "sentry/syscalls/table.h"

namespace {

void AddFilterTables(std::string_view platform) {
  const bool ptrace = platform == "ptrace";
  const auto interception =
      ptrace ? cloister::boot::Interception::kPtrace : cloister::boot::Interception::kSystrap;
  for (const cloister::boot::AllowedSyscall& allowed : cloister::boot::SentrySyscalls(interception)) {
    cloister::cmd::AddFilterRule("sentry", allowed.name, allowed.reason);
  }
  for (const cloister::gofer::AllowedSyscall& allowed : cloister::gofer::GoferSyscalls()) {
    cloister::cmd::AddFilterRule("gofer", allowed.name, allowed.reason);
  }
  for (const cloister::filter::StubRule& rule :
       ptrace ? cloister::filter::TraceeRules() : cloister::filter::StubRules()) {
    cloister::cmd::AddFilterRule("stub", rule.name, rule.reason);
  }
}

const char* LevelName(cloister::syscalls::Support level) {
  using cloister::syscalls::Support;
  switch (level) {
    case Support::kFull:
      return "full";
    case Support::kPartial:
      return "partial";
    case Support::kUnsupported:
      return "unsupported";
  }
  return "";
}

// Names and notes are our own and have nothing that JSON would want escaped.
std::string SyscallsAsJson() {
  std::string text = "[";
  const char* separator = "\n";
  for (const cloister::syscalls::Entry& entry : cloister::syscalls::All()) {
    absl::StrAppendFormat(&text, R"(%s {"number": %d, "name": "%s", "support": "%s", "note": "%s"})",
                          separator, entry.number, cloister::abi::FindSyscallSignature(entry.number)->name,
                          LevelName(entry.support), entry.note);
    separator = ",\n";
  }
  return text + "\n]\n";
}

}  // namespace

// One binary for all processes of a sandbox; which one it is, its name tells. runsc starts the
// others by descriptor with exactly these names, so a path that merely ends so is a user's.
int main(int argc, char** argv) {
  const std::string_view name = argc > 0 ? argv[0] : "";
  // Executed by descriptor, the kernel would show the descriptor's number in ps.
  if (name == "runsc-sentry") {
    prctl(PR_SET_NAME, "runsc-sentry");
    return cloister::boot::SentryMain(argc, argv);
  }
  if (name == "runsc-gofer") {
    prctl(PR_SET_NAME, "runsc-gofer");
    return cloister::gofer::GoferMain(argc, argv);
  }
  if (name == "runsc-monitor") return cloister::sandbox::MonitorMain(argc, argv);
  cloister::cmd::SetFilterSource(AddFilterTables);
  cloister::cmd::SetSyscallSource(SyscallsAsJson);
  return cloister::cmd::RunscMain(argc, argv);
}
