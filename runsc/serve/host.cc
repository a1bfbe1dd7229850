#include "runsc/serve/host.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "runsc/program/image.h"
#include "runsc/serve/bundle.h"

namespace cloister::serve {

Host::Host(Options options, Reaper* reaper, std::string directory)
    : options_(std::move(options)), reaper_(reaper), directory_(std::move(directory)) {}

Host::Host(Host&& other) noexcept
    : options_(other.options_),
      reaper_(other.reaper_),
      directory_(std::exchange(other.directory_, {})),
      handlers_(other.handlers_) {}

Host::~Host() {
  std::error_code error;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, error);
}

absl::StatusOr<Host> Host::Make(Options options, Reaper* reaper) {
  std::string directory = options.temporary + "/runsc-serve.XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) return HostErrorNow(directory);
  Host host(std::move(options), reaper, std::move(directory));
  RETURN_IF_ERROR(WriteNewFile(host.Runner(), std::string(program::RunnerImage()), 0755));
  RETURN_IF_ERROR(host.CountHandlers());
  return host;
}

absl::Status Host::CountHandlers() {
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC)), output(memfd_create("syscalls", MFD_CLOEXEC));
  if (!null.ok() || !output.ok()) return HostErrorNow("memfd_create");
  const Exit exit = TRY_STATUS(reaper_->Run({.argv = {options_.runsc, "debug", "syscalls"},
                                             .fds = {null.get(), output.get(), null.get()},
                                             .dies_with_caller = true}));
  std::string text(1 << 20, '\0');
  const ssize_t got = pread(output.get(), text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  const nlohmann::json calls = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (exit.status != 0 || !calls.is_array())
    return absl::FailedPreconditionError(absl::StrCat(options_.runsc, " is not the runsc of this program"));
  for (const nlohmann::json& call : calls) {
    if (call.value("support", "unsupported") != "unsupported") ++handlers_;
  }
  return absl::OkStatus();
}

}  // namespace cloister::serve
