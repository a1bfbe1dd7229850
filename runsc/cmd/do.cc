#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "runsc/cmd/attached.h"
#include "runsc/cmd/bundle.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"
#include "runsc/container/directory.h"
#include "runsc/spec/json_field.h"

extern char** environ;

namespace cloister::cmd {
namespace {

constexpr absl::string_view kIdPrefix = "do-";
constexpr absl::string_view kBundle = "/";
constexpr size_t kIdRandomBytes = 8;
// A state directory that nobody has touched for so long is not one that is being made.
constexpr time_t kSettledSeconds = 10;

// What a program needs to behave as the user expects; the rest of the environment is nobody's business.
bool PassesOn(absl::string_view variable) {
  static constexpr absl::string_view kNames[] = {"PATH", "HOME",  "TERM", "COLORTERM", "LANG",   "LANGUAGE",
                                                 "USER", "SHELL", "TZ",   "LOGNAME",   "EDITOR", "PAGER"};
  const absl::string_view name = variable.substr(0, variable.find('='));
  return absl::StartsWith(name, "LC_") ||
         std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

std::string JsonList(const std::vector<std::string>& strings) {
  return absl::StrCat("[",
                      absl::StrJoin(strings, ",",
                                    [](std::string* out, const std::string& text) {
                                      absl::StrAppend(out, spec::JsonQuote(text));
                                    }),
                      "]");
}

// Everything that a kernel of our own may grant: the host's is another one.
std::string AllCapabilities() {
  std::vector<std::string> names;
  for (const char* name :
       {"CHOWN",      "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER",       "FSETID",
        "KILL",       "SETGID",       "SETUID",          "SETPCAP",      "NET_BIND_SERVICE",
        "NET_ADMIN",  "NET_RAW",      "IPC_LOCK",        "IPC_OWNER",    "SYS_CHROOT",
        "SYS_PTRACE", "SYS_ADMIN",    "SYS_NICE",        "SYS_RESOURCE", "SYS_TTY_CONFIG",
        "MKNOD",      "LEASE",        "AUDIT_WRITE",     "SETFCAP"}) {
    names.push_back(absl::StrCat("CAP_", name));
  }
  return JsonList(names);
}

constexpr char kMounts[] = R"json([
  {"destination":"/proc","type":"proc","source":"proc"},
  {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},
  {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","ptmxmode=0666","mode=0620","gid=5"]},
  {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=65536k"]},
  {"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]},
  {"destination":"/run","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","mode=755"]},
  {"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}])json";

struct DoOptions {
  std::string root = "/";
  std::string cwd;
  std::string network = "none";
  std::vector<std::string> command;
  bool terminal = false;
};

std::string MakeConfig(const DoOptions& options) {
  std::vector<std::string> env;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (PassesOn(*variable)) env.emplace_back(*variable);
  }
  const std::string caps = AllCapabilities();
  return absl::StrCat(
      R"({"ociVersion":"1.0.2","process":{"terminal":)", options.terminal ? "true" : "false",
      R"(,"user":{"uid":0,"gid":0},"args":)", JsonList(options.command), R"(,"env":)", JsonList(env),
      R"(,"cwd":)", spec::JsonQuote(options.cwd), R"(,"capabilities":{"bounding":)", caps, R"(,"effective":)",
      caps, R"(,"permitted":)", caps, R"(}},"root":{"path":)", spec::JsonQuote(options.root),
      R"(},"hostname":"cloister","mounts":)", kMounts,
      R"(,"linux":{"namespaces":[{"type":"pid"},{"type":"ipc"},{"type":"uts"},)", R"({"type":"mount"}]}})");
}

absl::StatusOr<std::string> MakeId() {
  char random[kIdRandomBytes];
  if (getrandom(random, sizeof random, 0) != sizeof random) return HostErrorNow("getrandom");
  return absl::StrCat(kIdPrefix, absl::BytesToHexString(absl::string_view(random, sizeof random)));
}

bool IsOurs(absl::string_view id) {
  return absl::ConsumePrefix(&id, kIdPrefix) && id.size() == 2 * kIdRandomBytes &&
         std::all_of(id.begin(), id.end(), absl::ascii_isxdigit);
}

// Removes what a "do" that was killed has left: its container has ended with it. One that ends just now
// does not mind who removes its own.
void SweepKilled(const std::string& root) {
  const absl::StatusOr<std::vector<std::string>> ids = container::ListIds(root);
  if (!ids.ok()) return;
  for (const std::string& id : *ids) {
    if (!IsOurs(id)) continue;
    struct stat info;
    if (lstat(absl::StrCat(root, "/", id).c_str(), &info) != 0) continue;
    if (time(nullptr) - info.st_mtim.tv_sec < kSettledSeconds) continue;
    absl::StatusOr<container::Container> container = container::Container::Open(root, id);
    if (!container.ok() || container->Status() != spec::Status::kStopped) continue;
    if (!container->state().bundle.empty() && container->state().bundle != kBundle) continue;
    const absl::Status removed = container->Delete(/*force=*/false);
    if (!removed.ok() && !absl::IsNotFound(removed)) LOG(kWarning, "%s: %s", id, FirstLine(removed));
  }
}

absl::StatusOr<DoOptions> ParseDo(const Args& args, const Globals& globals) {
  DoOptions options;
  if (globals.network_given && globals.runtime.network == container::Runtime::Network::kHost)
    options.network = "host";
  Flags flags(
      "runsc do", "[options] COMMAND [ARGUMENT …]",
      "Runs a command in a sandbox over this machine's own files: it may read them; what it writes stays "
      "in memory and is gone at the end.");
  flags.StopAtPositional();
  flags.String("root", &options.root, "use this directory instead of /");
  flags.String("cwd", &options.cwd, "working directory; the current one if not given");
  flags.String("network", &options.network, "none (default): loopback only; host: this machine's");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "do", 1, -1));
  if (options.network != "none" && options.network != "host") {
    return absl::InvalidArgumentError(
        absl::StrCat("--network: unknown value \"", options.network, "\", must be none or host"));
  }
  options.command = flags.positionals();
  options.root = TRY_STATUS(AbsolutePath(options.root));
  if (options.cwd.empty()) options.cwd = options.root == "/" ? TRY_STATUS(AbsolutePath("")) : "/";
  options.terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
  return options;
}

}  // namespace

absl::StatusOr<int> RunDo(const Globals& globals, const Args& args) {
  const DoOptions options = TRY_STATUS(ParseDo(args, globals));
  container::Runtime runtime = globals.runtime;
  runtime.network =
      options.network == "host" ? container::Runtime::Network::kHost : container::Runtime::Network::kNone;
  runtime.root_overlay = true;
  container::CreateOptions create;
  SweepKilled(runtime.root);
  create.id = TRY_STATUS(MakeId());
  create.bundle = std::string(kBundle);
  create.config_text = MakeConfig(options);
  create.spec = TRY_STATUS(spec::ParseSpec(create.config_text));
  create.verb = "do";
  return RunContainer(runtime, std::move(create), AttachedOptions{});
}

}  // namespace cloister::cmd
