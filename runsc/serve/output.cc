#include "runsc/serve/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/error/errno.h"
#include "base/error/status.h"

namespace cloister::serve {
namespace {

constexpr int64_t kMaxErrno = 4095;

}  // namespace

absl::StatusOr<Pipe> Pipe::Make() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return HostErrorNow("pipe2");
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  if (fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) return HostErrorNow("F_SETFL");
  return pipe;
}

Output::Output(const RunRequest& request, EventSink* sink)
    : request_(request), sink_(sink), program_(program::Parse(request.program().text())) {}

std::string_view Output::Limited(std::string_view bytes) {
  const uint64_t room = request_.limits().output_bytes() - bytes_;
  if (bytes.size() > room) over_limit_ = true;
  bytes = bytes.substr(0, std::min<uint64_t>(bytes.size(), room));
  bytes_ += bytes.size();
  return bytes;
}

void Output::TakeStdout(std::string_view bytes) {
  bytes = Limited(bytes);
  if (bytes.empty()) return;
  if (request_.has_program()) {
    runner_lines_.Add(bytes);
    while (const std::optional<std::string_view> line = runner_lines_.Next()) TakeRunnerLine(*line);
    return;
  }
  RunEvent event;
  event.set_stdout_data(std::string(bytes));
  sink_->Send(std::move(event));
}

void Output::TakeStderr(std::string_view bytes) {
  bytes = Limited(bytes);
  if (bytes.empty()) return;
  RunEvent event;
  event.set_stderr_data(std::string(bytes));
  sink_->Send(std::move(event));
}

void Output::TakeTrace(std::string_view bytes) {
  trace_lines_.Add(bytes);
  RunEvent event;
  while (const std::optional<std::string_view> line = trace_lines_.Next()) {
    std::optional<Syscall> call = ParseTraceLine(*line);
    if (!call.has_value()) continue;
    ++syscalls_;
    if (!request_.has_program()) coverage_.Count(*call);
    if (!request_.trace()) continue;
    if (traced_ == request_.limits().trace_calls()) {
      ++left_out_;
      continue;
    }
    ++traced_;
    *event.mutable_syscalls()->add_calls() = *std::move(call);
  }
  if (event.has_syscalls()) sink_->Send(std::move(event));
}

// The program may have got at its runner: any line may come.
void Output::TakeRunnerLine(std::string_view line) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(absl::string_view(line.data(), line.size()), ' ');
  if (words.size() != 2) return;
  int32_t number = 0;
  if (words[0] == "exit" || words[0] == "signal") {
    if (!absl::SimpleAtoi(words[1], &number)) return;
    program_ended_ = true;
    program_end_.set_ended_by(words[0] == "exit" ? Result::ENDED_BY_EXIT : Result::ENDED_BY_SIGNAL);
    if (words[0] == "exit") program_end_.set_exit_code(number);
    if (words[0] == "signal") program_end_.set_signal(number);
    return;
  }
  RunEvent event;
  uint32_t index = 0;
  int64_t result = 0;
  if (!absl::SimpleAtoi(words[0], &index)) return;
  event.mutable_call()->set_index(index);
  if (words[1] == "waits") {
    event.mutable_call()->set_waits(true);
  } else if (absl::SimpleAtoi(words[1], &result)) {
    event.mutable_call()->set_result(result);
    CountCall(event.call());
  } else {
    return;
  }
  sink_->Send(std::move(event));
}

void Output::CountCall(const CallResult& call) {
  if (call.index() >= program_.calls.size()) return;
  Syscall answered;
  answered.set_name(program_.calls[call.index()].signature->name);
  if (call.result() < 0 && call.result() >= -kMaxErrno)
    answered.set_error(std::string(ErrnoName(static_cast<Errno>(-call.result()))));
  coverage_.Count(answered);
}

bool Output::ProgramEnd(Result* result) const {
  if (!program_ended_) return false;
  *result = program_end_;
  return true;
}

}  // namespace cloister::serve
