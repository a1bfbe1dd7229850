#include "runsc/serve/sandbox_run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/error/status.h"
#include "runsc/cgroup/stats.h"
#include "runsc/serve/bundle.h"
#include "runsc/serve/output.h"
#include "runsc/serve/usage.h"
#include "runsc/spec/spec.h"

namespace cloister::serve {
namespace {

constexpr absl::Duration kKillPatience = absl::Seconds(10);
constexpr absl::Duration kShortestCpuLook = absl::Milliseconds(5);
constexpr size_t kPieceBytes = 64 << 10;
constexpr int kTraceFd = 3;  // in runsc

// How `runsc run` has ended. Shared with the reaper's thread.
struct Ending {
  UniqueFd event{eventfd(0, EFD_CLOEXEC)};  // readable when it has
  std::atomic<bool> ended{false};
};

// Seals what is left of one sandbox, whatever has happened.
class SandboxRun {
 public:
  SandboxRun(const Host& host, const RunRequest& request, EventSink* sink)
      : host_(host), request_(request), sink_(sink), output_(request, sink), name_(NewName()) {}
  ~SandboxRun();

  absl::Status Run();

 private:
  static std::string NewName() {
    static std::atomic<uint64_t> numbers{0};
    return absl::StrCat("runsc-serve-", getpid(), "-", ++numbers);
  }

  // The runner of a program says itself what its calls answered.
  bool Traces() const { return request_.trace() || (request_.coverage() && !request_.has_program()); }
  std::string File(const char* name) const { return absl::StrCat(bundle_->directory(), "/", name); }
  absl::Status Prepare();
  std::vector<std::string> Argv() const;
  absl::Status Start();
  // Until it has ended, or has to; ended_by_ says why.
  void Attend();
  bool OverTime(absl::Time now);
  void WaitForNews(absl::Time now);
  // Whether there may be more.
  bool ReadSome(const UniqueFd& pipe, void (Output::*take)(std::string_view));
  void ReadRest();
  void Kill();
  void Delete();
  absl::Status SendResult();
  bool ReadStatusFile(Result* result) const;
  std::string LastError() const;

  const Host& host_;
  const RunRequest& request_;
  EventSink* const sink_;
  Output output_;
  const std::string name_;  // of container, bundle and control group
  cgroup::Group group_;
  std::optional<Bundle> bundle_;
  Pipe stdout_, stderr_, trace_;
  std::shared_ptr<Ending> ending_ = std::make_shared<Ending>();
  pid_t runsc_ = 0;
  absl::Time began_, next_cpu_look_ = absl::InfiniteFuture();
  absl::Duration took_;
  Result::EndedBy ended_by_ = Result::ENDED_BY_UNKNOWN;  // a limit, if one was reached
};

absl::Status SandboxRun::Prepare() {
  if (!ending_->event.ok()) return HostErrorNow("eventfd");
  stdout_ = TRY_STATUS(Pipe::Make());
  stderr_ = TRY_STATUS(Pipe::Make());
  if (Traces()) trace_ = TRY_STATUS(Pipe::Make());
  BundlePlan plan;
  plan.directory = absl::StrCat(host_.directory(), "/", name_);
  plan.group = "/" + name_;
  plan.runner = host_.Runner();
  // Made here, so that what was used can be read when the sandbox is gone.
  const std::vector<cgroup::Hierarchy> hierarchies = TRY_STATUS(cgroup::FindHierarchies());
  group_ = cgroup::Group::Plan(hierarchies, plan.group);
  RETURN_IF_ERROR(group_.Make(hierarchies));
  plan.limit_swap = CountsSwap(group_);
  bundle_.emplace(TRY_STATUS(Bundle::Make(plan, request_)));
  return absl::OkStatus();
}

std::vector<std::string> SandboxRun::Argv() const {
  std::vector<std::string> argv = {host_.options().runsc, "--root", host_.StateRoot(), "--log", File("log"),
                                   "--log-format",        "json",   "--network",       "none",  "--overlay2",
                                   "root:memory"};
  std::string platform = host_.options().platform;
  if (request_.platform() == PLATFORM_SYSTRAP) platform = "systrap";
  if (request_.platform() == PLATFORM_PTRACE) platform = "ptrace";
  if (!platform.empty()) argv.insert(argv.end(), {"--platform", platform});
  // The host's futexes would not be seen.
  if (Traces()) {
    argv.insert(argv.end(), {"--strace", "--native-futex", "off", "--debug-log",
                             absl::StrCat("/proc/self/fd/", kTraceFd)});
  }
  argv.insert(argv.end(),
              {"run", "--keep", "--status-file", File("status"), "--bundle", bundle_->directory(), name_});
  return argv;
}

absl::Status SandboxRun::Start() {
  cloister::Command command;
  command.argv = Argv();
  command.fds = {bundle_->input().get(), stdout_.write.get(), stderr_.write.get()};
  if (Traces()) command.fds.push_back(trace_.write.get());
  command.dies_with_caller = true;
  began_ = absl::Now();
  if (request_.limits().cpu_ms() != 0) next_cpu_look_ = began_;
  runsc_ = TRY_STATUS(host_.reaper().Spawn(command, [ending = ending_](const Exit&) {
    ending->ended = true;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(ending->event.get(), &one, sizeof one);
  }));
  stdout_.write.reset();
  stderr_.write.reset();
  trace_.write.reset();
  return absl::OkStatus();
}

// The processor time of a sandbox cannot grow faster than its processors run: until then nobody has to look.
bool SandboxRun::OverTime(absl::Time now) {
  const Limits& limits = request_.limits();
  if (now >= began_ + absl::Milliseconds(limits.wall_ms())) {
    ended_by_ = Result::ENDED_BY_WALL_TIME;
    return true;
  }
  if (now < next_cpu_look_) return false;
  const absl::Duration left =
      absl::Milliseconds(limits.cpu_ms()) - absl::Microseconds(CpuMicroseconds(group_));
  if (left <= absl::ZeroDuration()) ended_by_ = Result::ENDED_BY_CPU_TIME;
  next_cpu_look_ = now + std::max(left / sysconf(_SC_NPROCESSORS_ONLN), kShortestCpuLook);
  return left <= absl::ZeroDuration();
}

bool SandboxRun::ReadSome(const UniqueFd& pipe, void (Output::*take)(std::string_view)) {
  std::array<char, kPieceBytes> piece;
  const ssize_t got = pipe.ok() ? read(pipe.get(), piece.data(), piece.size()) : 0;
  if (got > 0) (output_.*take)({piece.data(), static_cast<size_t>(got)});
  return got > 0;
}

void SandboxRun::WaitForNews(absl::Time now) {
  const short wanted = sink_->IsFull() ? 0 : POLLIN;
  // A stream whose end was seen would be ready for ever.
  const auto interest = [wanted](const Pipe& pipe) {
    return pollfd{wanted != 0 ? pipe.read.get() : -1, wanted, 0};
  };
  pollfd entries[] = {{ending_->event.get(), POLLIN, 0},
                      {sink_->wake_fd(), POLLIN, 0},
                      interest(stdout_),
                      interest(stderr_),
                      interest(trace_)};
  const absl::Time until = std::min(began_ + absl::Milliseconds(request_.limits().wall_ms()), next_cpu_look_);
  const int64_t timeout = absl::ToInt64Milliseconds(until - now) + 1;
  if (poll(entries, std::size(entries), static_cast<int>(std::clamp<int64_t>(timeout, 0, 60'000))) <= 0)
    return;
  uint64_t count;
  if (entries[1].revents != 0) [[maybe_unused]]
    const ssize_t got = read(sink_->wake_fd(), &count, sizeof count);
  if (entries[2].revents != 0 && !ReadSome(stdout_.read, &Output::TakeStdout)) stdout_.read.reset();
  if (entries[3].revents != 0 && !ReadSome(stderr_.read, &Output::TakeStderr)) stderr_.read.reset();
  if (entries[4].revents != 0 && !ReadSome(trace_.read, &Output::TakeTrace)) trace_.read.reset();
}

void SandboxRun::Attend() {
  while (!ending_->ended && !sink_->IsCancelled()) {
    const absl::Time now = absl::Now();
    if (OverTime(now)) return;
    WaitForNews(now);
    if (!output_.OverLimit()) continue;
    ended_by_ = Result::ENDED_BY_OUTPUT;
    return;
  }
}

// What was written before the end is in the pipes.
void SandboxRun::ReadRest() {
  while (ReadSome(stdout_.read, &Output::TakeStdout)) {
  }
  while (ReadSome(stderr_.read, &Output::TakeStderr)) {
  }
  while (ReadSome(trace_.read, &Output::TakeTrace)) {
  }
  if (output_.OverLimit()) ended_by_ = Result::ENDED_BY_OUTPUT;
}

// The sandbox dies with its runsc; it may hang in a pipe that nobody reads.
void SandboxRun::Kill() {
  for (Pipe* const pipe : {&stdout_, &stderr_, &trace_}) pipe->read.reset();
  if (runsc_ == 0 || ending_->ended) return;
  kill(runsc_, SIGKILL);
  pollfd entry = {ending_->event.get(), POLLIN, 0};
  poll(&entry, 1, static_cast<int>(absl::ToInt64Milliseconds(kKillPatience)));
}

void SandboxRun::Delete() {
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const absl::StatusOr<Exit> deleted = host_.reaper().Run(
      {.argv = {host_.options().runsc, "--root", host_.StateRoot(), "delete", "--force", name_},
       .fds = {null.get(), null.get(), null.get()},
       .dies_with_caller = true});
  if (!deleted.ok() || deleted->status != 0) KillAll(group_);
  group_.Remove(kKillPatience).IgnoreError();
  runsc_ = 0;
}

SandboxRun::~SandboxRun() {
  Kill();
  if (runsc_ != 0) Delete();
  group_.Remove(kKillPatience).IgnoreError();
}

bool SandboxRun::ReadStatusFile(Result* result) const {
  const absl::StatusOr<std::string> text = spec::ReadTextFile(File("status"));
  if (!text.ok()) return false;
  const nlohmann::json end = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!end.is_object()) return false;
  const bool signalled = end.contains("signal");
  result->set_ended_by(signalled ? Result::ENDED_BY_SIGNAL : Result::ENDED_BY_EXIT);
  if (signalled) result->set_signal(end.value("signal", 0));
  if (!signalled) result->set_exit_code(end.value("exitCode", 0));
  return true;
}

std::string SandboxRun::LastError() const {
  std::string message = "runsc ended without a word";
  const absl::StatusOr<std::string> text = spec::ReadTextFile(File("log"));
  if (!text.ok()) return message;
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object() && record.value("level", "") == "error") message = record.value("msg", message);
  }
  return message;
}

absl::Status SandboxRun::SendResult() {
  RunEvent event;
  Result& result = *event.mutable_result();
  const uint64_t kills = cgroup::OomKills(group_);
  const bool ended = ReadStatusFile(&result);
  if (ended) output_.ProgramEnd(&result);
  const bool failed = !ended || result.signal() != 0 || result.exit_code() != 0;
  if (kills > 0 && failed) result.set_ended_by(Result::ENDED_BY_MEMORY);
  if (ended_by_ != Result::ENDED_BY_UNKNOWN) result.set_ended_by(ended_by_);
  if (result.ended_by() == Result::ENDED_BY_UNKNOWN) return absl::FailedPreconditionError(LastError());
  Usage& usage = *result.mutable_usage();
  usage.set_wall_us(static_cast<uint64_t>(absl::ToInt64Microseconds(took_)));
  usage.set_cpu_us(CpuMicroseconds(group_));
  usage.set_peak_memory_bytes(PeakMemory(group_));
  usage.set_output_bytes(output_.bytes());
  usage.set_syscalls(output_.syscalls());
  usage.set_syscalls_left_out(output_.syscalls_left_out());
  usage.set_memory_kills(kills);
  if (request_.coverage()) {
    RunEvent coverage;
    *coverage.mutable_coverage() = output_.SumCoverage(host_.handlers());
    sink_->Send(std::move(coverage));
  }
  sink_->Send(std::move(event));
  return absl::OkStatus();
}

absl::Status SandboxRun::Run() {
  RETURN_IF_ERROR(Prepare());
  RETURN_IF_ERROR(Start());
  Attend();
  took_ = absl::Now() - began_;
  if (sink_->IsCancelled()) return absl::CancelledError();
  ReadRest();
  Kill();
  return SendResult();
}

}  // namespace

absl::Status RunSandbox(const Host& host, const RunRequest& request, EventSink* sink) {
  return SandboxRun(host, request, sink).Run();
}

}  // namespace cloister::serve
