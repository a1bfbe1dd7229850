#include "runsc/cmd/runsc.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "base/log/log.h"
#include "runsc/cmd/report.h"
#include "runsc/cmd/verb.h"

namespace cloister::cmd {
namespace {

constexpr char kVersion[] = "runsc version 0.1.0\ncommit: unknown\nspec: 1.0.2\n";
constexpr int kUnknownVerb = 3;
// Above all numbers at which a child finds something else: it may log before it executes.
constexpr int kLogFdBase = 256;

// As they stand on the command line, before they are checked.
struct RawGlobals {
  std::string root, log, log_format = "text", debug_log, platform, network, file_access = "exclusive",
                         spin = "on", patch = "on", native_futex = "on", native_read = "on";
  std::string overlay, rootless, cgroup_manager;
  bool debug = false, strace = false, systemd_cgroup = false, version = false;
};

void Declare(Flags* flags, RawGlobals* raw) {
  flags->StopAtPositional();
  flags->String("root", &raw->root, "directory for the state of containers");
  flags->String("log", &raw->log, "file for the record of a failure");
  flags->String("log-format", &raw->log_format, "text or json");
  flags->Bool("debug", &raw->debug, "write everything to the debug log");
  flags->String("debug-log", &raw->debug_log, "file for the records of all processes");
  flags->String(
      "platform", &raw->platform,
      "systrap, or ptrace: slow, for hosts that give no seccomp listener. Default: what the host allows");
  flags->String("network", &raw->network,
                "none: loopback only; host (default): the network namespace that config.json gives");
  flags->Bool("strace", &raw->strace, "write every system call to the debug log");
  flags->String("file-access", &raw->file_access,
                "exclusive or shared: whether others change the root file system");
  flags->String("spin", &raw->spin, "on or off: whether a free core looks for a busy guest's next call");
  flags->String("patch", &raw->patch, "on or off: whether call sites of a guest's libraries are patched");
  flags->String("native-futex", &raw->native_futex,
                "on or off: whether the host's futexes serve as the guest's");
  flags->String("native-read", &raw->native_read,
                "on or off: whether guests read open files of the host themselves");
  flags->String("overlay2", &raw->overlay, "none, or root:memory: writes to the root stay in memory");
  flags->String("rootless", &raw->rootless, "accepted");
  flags->Bool("systemd-cgroup", &raw->systemd_cgroup, "linux.cgroupsPath names a unit: slice:prefix:name");
  flags->String("cgroup-manager", &raw->cgroup_manager, "accepted");
  flags->Bool("version,v", &raw->version, "print the version");
}

std::string DefaultRoot() {
  if (geteuid() == 0) return "/run/runsc";
  const char* runtime_dir = getenv("XDG_RUNTIME_DIR");
  if (runtime_dir != nullptr && runtime_dir[0] == '/') return absl::StrCat(runtime_dir, "/runsc");
  return absl::StrCat("/tmp/runsc-", geteuid());
}

absl::Status OneOf(std::string_view flag, const std::string& value,
                   std::initializer_list<const char*> allowed) {
  for (const char* candidate : allowed) {
    if (value == candidate) return absl::OkStatus();
  }
  std::string list;
  for (const char* candidate : allowed) absl::StrAppend(&list, list.empty() ? "" : " or ", candidate);
  return absl::InvalidArgumentError(
      absl::StrCat("--", std::string(flag), ": unknown value \"", value, "\", must be ", list));
}

absl::StatusOr<std::string> MakeAbsolute(const std::string& path) {
  if (!path.empty() && path[0] == '/') return path;
  char directory[4096];
  if (getcwd(directory, sizeof directory) == nullptr) return HostErrorNow("getcwd");
  return absl::StrCat(directory, "/", path);
}

// Opens the debug log, which stays open for the life of the process and goes to its children.
absl::Status OpenDebugLog(const RawGlobals& raw, container::Runtime* runtime) {
  runtime->debug_level = raw.debug || raw.strace ? "debug" : "info";
  if (raw.debug_log.empty()) return absl::OkStatus();
  const UniqueFd log(open(raw.debug_log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log.ok()) return HostErrorNow(absl::StrCat("--debug-log: ", raw.debug_log));
  runtime->debug_log = fcntl(log.get(), F_DUPFD_CLOEXEC, kLogFdBase);
  if (runtime->debug_log < 0) return HostErrorNow("F_DUPFD_CLOEXEC");
  StartLog(runtime->debug_log, raw.debug ? LogLevel::kDebug : LogLevel::kInfo, "runsc");
  return absl::OkStatus();
}

absl::StatusOr<Globals> Check(const RawGlobals& raw) {
  RETURN_IF_ERROR(OneOf("log-format", raw.log_format, {"text", "json"}));
  if (!raw.platform.empty()) RETURN_IF_ERROR(OneOf("platform", raw.platform, {"systrap", "ptrace"}));
  RETURN_IF_ERROR(OneOf("file-access", raw.file_access, {"exclusive", "shared"}));
  RETURN_IF_ERROR(OneOf("spin", raw.spin, {"on", "off"}));
  RETURN_IF_ERROR(OneOf("patch", raw.patch, {"on", "off"}));
  RETURN_IF_ERROR(OneOf("native-futex", raw.native_futex, {"on", "off"}));
  RETURN_IF_ERROR(OneOf("native-read", raw.native_read, {"on", "off"}));
  if (!raw.network.empty()) RETURN_IF_ERROR(OneOf("network", raw.network, {"none", "host"}));
  if (!raw.overlay.empty()) RETURN_IF_ERROR(OneOf("overlay2", raw.overlay, {"none", "root:memory"}));
  Globals globals;
  globals.runtime.root = TRY_STATUS(MakeAbsolute(raw.root.empty() ? DefaultRoot() : raw.root));
  globals.runtime.platform = raw.platform;
  globals.network_given = !raw.network.empty();
  if (raw.network == "none") globals.runtime.network = container::Runtime::Network::kNone;
  globals.runtime.strace = raw.strace;
  globals.runtime.spin = raw.spin == "on";
  globals.runtime.patch = raw.patch == "on";
  globals.runtime.native_futexes = raw.native_futex == "on";
  globals.runtime.native_reads = raw.native_read == "on";
  globals.runtime.root_shared = raw.file_access == "shared";
  globals.runtime.root_overlay = raw.overlay == "root:memory";
  globals.runtime.systemd_cgroup = raw.systemd_cgroup;
  if (!raw.overlay.empty()) globals.overlay = raw.overlay;
  RETURN_IF_ERROR(OpenDebugLog(raw, &globals.runtime));
  return globals;
}

// A closed 0, 1 or 2 would be taken by the next open and reach the container.
void EnsureStdio() {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd < 3);
  if (fd >= 3) close(fd);
}

std::string GlobalHelp(const std::string& options) {
  std::string help = absl::StrCat(options, "\nCommands:\n");
  for (const Verb& verb : AllVerbs()) absl::StrAppendFormat(&help, "  %-12s %s\n", verb.name, verb.summary);
  return help;
}

int Report(const ErrorLog& log, const absl::Status& status, int exit_status) {
  ReportError(log, FirstLine(status));
  return exit_status;
}

int Dispatch(const Globals& globals, const ErrorLog& log, const std::vector<std::string>& words) {
  for (const Verb& verb : AllVerbs()) {
    if (words[0] != verb.name) continue;
    const absl::StatusOr<int> done = verb.run(globals, {words.begin() + 1, words.end()});
    if (done.ok()) return *done;
    if (!absl::IsCancelled(done.status())) return Report(log, done.status(), verb.failure_status);
    fputs(std::string(done.status().message()).c_str(), stdout);
    return 0;
  }
  return Report(log, absl::NotFoundError(absl::StrCat("No help topic for '", words[0], "'")), kUnknownVerb);
}

}  // namespace

absl::Status CheckCount(const Flags& flags, std::string_view verb, int at_least, int at_most) {
  const int count = static_cast<int>(flags.positionals().size());
  const std::string name(verb);
  if (count < at_least) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" requires a minimum of ", at_least, " argument(s)"));
  }
  if (at_most >= 0 && count > at_most) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" requires a maximum of ", at_most, " argument(s)"));
  }
  return absl::OkStatus();
}

int RunscMain(int argc, char** argv) {
  EnsureStdio();
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_DFL);  // a caller that ignores it would take our children's wait status
  umask(0022);
  RawGlobals raw;
  Flags flags("runsc", "[options] COMMAND …", "Cloister's OCI runtime");
  Declare(&flags, &raw);
  const absl::Status parsed = flags.Parse({argv + 1, argv + argc});
  const ErrorLog log{raw.log, raw.log_format == "json"};
  const bool wants_help = absl::IsCancelled(parsed) ||
                          (parsed.ok() && (flags.positionals().empty() || flags.positionals()[0] == "help"));
  if (!parsed.ok() && !wants_help) return Report(log, parsed, 1);
  if (raw.version) {
    fputs(kVersion, stdout);
    return 0;
  }
  if (wants_help) {
    const absl::Status help = flags.Parse({"--help"});
    fputs(GlobalHelp(std::string(help.message())).c_str(), stdout);
    return 0;
  }
  const absl::StatusOr<Globals> globals = Check(raw);
  if (!globals.ok()) return Report(log, globals.status(), 1);
  return Dispatch(*globals, log, flags.positionals());
}

}  // namespace cloister::cmd
