#include "runsc/shim/stdio.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error/status.h"
#include "base/host/byte_copy.h"
#include "base/log/log.h"
#include "runsc/shim/logger_uri.h"

namespace cloister::shim {
namespace {

constexpr char kFile[] = "file://";
constexpr char kBinary[] = "binary://";
constexpr int kLoggerPatienceMs = 10'000;

absl::StatusOr<UniqueFd> OpenPath(const std::string& path, int flags) {
  UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, 0600));
  if (!fd.ok()) return HostErrorNow(absl::StrCat("open ", path));
  return fd;
}

bool IsFifo(const std::string& path) {
  struct stat attr;
  return stat(path.c_str(), &attr) == 0 && S_ISFIFO(attr.st_mode);
}

void SetNonBlocking(int fd, bool on) {
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

}  // namespace

// The thread between a terminal and its FIFOs. Owns the descriptors; shared with the thread.
struct Stdio::Copier {
  UniqueFd master, in, out, wake;
  absl::Mutex mu;
  bool stopping ABSL_GUARDED_BY(mu) = false;
  bool done ABSL_GUARDED_BY(mu) = false;

  void Run();
  void Stop();
};

void Stdio::Copier::Run() {
  ByteCopy input(in.get(), master.get());
  ByteCopy output(master.get(), out.get());
  while (output.open()) {
    pollfd entries[] = {{wake.get(), POLLIN, 0}, input.Interest(), output.Interest()};
    if (poll(entries, std::size(entries), -1) < 0 && errno != EINTR) break;
    {
      absl::MutexLock lock(&mu);
      if (stopping) break;
    }
    input.Step(entries[1]);
    output.Step(entries[2]);
  }
  output.Flush();
  absl::MutexLock lock(&mu);
  done = true;
}

void Stdio::Copier::Stop() {
  const uint64_t one = 1;
  absl::MutexLock lock(&mu);
  stopping = true;
  [[maybe_unused]] const ssize_t written = write(wake.get(), &one, sizeof one);
}

absl::StatusOr<std::unique_ptr<Stdio>> Stdio::Open(const StdioPaths& paths, const std::string& id,
                                                   const std::string& name_space, Reaper* reaper) {
  std::unique_ptr<Stdio> stdio(new Stdio(paths.terminal));
  RETURN_IF_ERROR(stdio->OpenInput(paths.in));
  if (absl::StartsWith(paths.out, kBinary)) {
    RETURN_IF_ERROR(stdio->StartLogger(paths.out, id, name_space, reaper));
  } else {
    RETURN_IF_ERROR(stdio->OpenOutputs(paths));
  }
  return stdio;
}

Stdio::~Stdio() { Ended(); }

absl::Status Stdio::OpenInput(const std::string& path) {
  if (path.empty()) {
    in_ = TRY_STATUS(OpenPath("/dev/null", O_RDONLY));
    return absl::OkStatus();
  }
  in_ = TRY_STATUS(OpenPath(path, O_RDONLY | O_NONBLOCK));
  SetNonBlocking(in_.get(), terminal_);
  if (!IsFifo(path)) return absl::OkStatus();
  UniqueFd writer = TRY_STATUS(OpenPath(path, O_WRONLY));
  absl::MutexLock lock(&mu_);
  input_writer_ = std::move(writer);
  return absl::OkStatus();
}

absl::Status Stdio::OpenOutputs(const StdioPaths& paths) {
  for (const auto& [given, fd] : {std::pair(&paths.out, &out_), std::pair(&paths.err, &err_)}) {
    const bool file = absl::StartsWith(*given, kFile);
    const std::string path = file ? given->substr(sizeof kFile - 1) : *given;
    if (path.empty() || (terminal_ && fd == &err_)) {
      *fd = TRY_STATUS(OpenPath("/dev/null", O_WRONLY));
      continue;
    }
    if (IsFifo(path)) {
      // With a reader of our own the other open does not wait for one.
      kept_.push_back(TRY_STATUS(OpenPath(path, O_RDONLY | O_NONBLOCK)));
      *fd = TRY_STATUS(OpenPath(path, O_WRONLY));
      continue;
    }
    *fd = TRY_STATUS(OpenPath(path, O_WRONLY | O_APPEND | (file ? O_CREAT : 0)));
  }
  return absl::OkStatus();
}

// The logger closes its descriptor 5 when it is ready.
absl::Status Stdio::StartLogger(const std::string& uri, const std::string& id, const std::string& name_space,
                                Reaper* reaper) {
  LoggerUri logger = TRY_STATUS(ParseLoggerUri(uri));
  UniqueFd ends[3][2];
  for (UniqueFd(&pair)[2] : ends) {
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC) != 0) return HostErrorNow("pipe2");
    pair[0].reset(pipe_ends[0]);
    pair[1].reset(pipe_ends[1]);
  }
  const UniqueFd null = TRY_STATUS(OpenPath("/dev/null", O_RDWR));
  Command command{
      .argv = {logger.path},
      .environment = {"CONTAINER_ID=" + id, "CONTAINER_NAMESPACE=" + name_space},
      .fds = {null.get(), null.get(), null.get(), ends[0][0].get(), ends[1][0].get(), ends[2][1].get()}};
  command.argv.insert(command.argv.end(), logger.args.begin(), logger.args.end());
  RETURN_IF_ERROR(reaper->Spawn(command, [](const Exit&) {}).status());
  ends[2][1].reset();
  pollfd ready = {ends[2][0].get(), POLLIN, 0};
  if (poll(&ready, 1, kLoggerPatienceMs) <= 0) {
    return absl::DeadlineExceededError(absl::StrCat(logger.path, ": the logger does not become ready"));
  }
  out_ = std::move(ends[0][1]);
  err_ = std::move(ends[1][1]);
  kept_.push_back(std::move(ends[0][0]));
  kept_.push_back(std::move(ends[1][0]));
  return absl::OkStatus();
}

std::vector<int> Stdio::fds() const {
  if (terminal_) return {};
  return {in_.get(), out_.get(), err_.get()};
}

absl::Status Stdio::Started(UniqueFd master) {
  if (terminal_) {
    auto copier = std::make_shared<Copier>();
    copier->wake.reset(eventfd(0, EFD_CLOEXEC));
    if (!copier->wake.ok()) return HostErrorNow("eventfd");
    SetNonBlocking(master.get(), true);
    SetNonBlocking(out_.get(), true);
    copier->master = std::move(master);
    copier->in = std::move(in_);
    copier->out = std::move(out_);
    std::thread([copier] { copier->Run(); }).detach();
    absl::MutexLock lock(&mu_);
    copier_ = std::move(copier);
  }
  in_.reset();
  out_.reset();
  err_.reset();
  return absl::OkStatus();
}

void Stdio::CloseInput() {
  absl::MutexLock lock(&mu_);
  input_writer_.reset();
}

absl::Status Stdio::Resize(uint32_t width, uint32_t height) {
  const winsize size = {static_cast<unsigned short>(height), static_cast<unsigned short>(width), 0, 0};
  absl::MutexLock lock(&mu_);
  if (copier_ == nullptr) return absl::FailedPreconditionError("the process has no terminal");
  if (ioctl(copier_->master.get(), TIOCSWINSZ, &size) != 0) return HostErrorNow("TIOCSWINSZ");
  return absl::OkStatus();
}

void Stdio::Ended() {
  std::shared_ptr<Copier> copier;
  {
    absl::MutexLock lock(&mu_);
    input_writer_.reset();
    copier = std::move(copier_);
  }
  if (copier != nullptr) copier->Stop();
}

}  // namespace cloister::shim
