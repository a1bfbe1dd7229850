#include "runsc/shim/runsc_command.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "runsc/shim/bundle_files.h"

namespace cloister::shim {
namespace {

constexpr size_t kMaxOutput = 1 << 20;
// runsc has deadlines of its own; this is for a runsc that is stopped itself.
constexpr absl::Duration kPatience = absl::Seconds(60);

// Hooks may take as long as they like.
bool RunsHooks(const std::string& verb) {
  return verb == "create" || verb == "start" || verb == "exec" || verb == "delete";
}

// A file in memory rather than a pipe: nobody has to read while the command runs.
absl::StatusOr<UniqueFd> MemoryFile(const std::string& content) {
  UniqueFd file(memfd_create("runsc-shim", MFD_CLOEXEC));
  if (!file.ok()) return HostErrorNow("memfd_create");
  if (write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
      lseek(file.get(), 0, SEEK_SET) != 0) {
    return HostErrorNow("memfd");
  }
  return file;
}

std::string Content(int file) {
  std::string text(kMaxOutput, '\0');
  const ssize_t got = pread(file, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

absl::StatusCode CodeOf(std::string_view message) {
  for (const char* gone :
       {"container does not exist", "container not running", "no such process", "process already finished"}) {
    if (absl::StrContains(absl::string_view(message.data(), message.size()), gone)) {
      return absl::StatusCode::kNotFound;
    }
  }
  return absl::StatusCode::kUnknown;
}

}  // namespace

RunscCommand::RunscCommand(RuntimeConfig config, std::string name_space, std::string bundle, Reaper* reaper)
    : config_(std::move(config)),
      root_(absl::StrCat(config_.root, "/", name_space)),
      bundle_(std::move(bundle)),
      log_(bundle_ + "/log.json"),
      reaper_(reaper) {}

std::vector<std::string> RunscCommand::Argv(const std::vector<std::string>& args) const {
  std::vector<std::string> argv = {config_.binary};
  argv.insert(argv.end(), config_.args.begin(), config_.args.end());
  argv.insert(argv.end(), {"--root", root_, "--log", log_, "--log-format", "json"});
  argv.insert(argv.end(), args.begin(), args.end());
  return argv;
}

absl::Status RunscCommand::Failure(std::string_view what, const absl::StatusOr<Exit>& exit) const {
  if (!exit.ok()) return absl::UnknownError(absl::StrCat(std::string(what), ": ", exit.status().message()));
  if (exit->status == 0) return absl::OkStatus();
  std::string message = LastError(log_);
  if (message.empty()) message = absl::StrCat("runsc ended with status ", exit->status);
  return absl::Status(CodeOf(message), absl::StrCat(std::string(what), ": ", message));
}

absl::Status RunscCommand::Run(std::string_view what, const std::vector<std::string>& args,
                               const std::vector<int>& stdio) const {
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  std::vector<int> fds = stdio;
  if (fds.empty()) fds = {null.get(), null.get(), null.get()};
  return Failure(what, reaper_->Run({.argv = Argv(args),
                                     .directory = bundle_,
                                     .environment = {},
                                     .fds = std::move(fds),
                                     .dies_with_caller = true,
                                     .patience = RunsHooks(args[0]) ? absl::InfiniteDuration() : kPatience}));
}

absl::StatusOr<std::string> RunscCommand::Output(std::string_view what, const std::vector<std::string>& args,
                                                 const std::string& input) const {
  const UniqueFd source = TRY_STATUS(MemoryFile(input));
  const UniqueFd sink = TRY_STATUS(MemoryFile(""));
  RETURN_IF_ERROR(Run(what, args, {source.get(), sink.get(), sink.get()}));
  return Content(sink.get());
}

}  // namespace cloister::shim
