#ifndef CLOISTER_RUNSC_SERVE_OUTPUT_H_
#define CLOISTER_RUNSC_SERVE_OUTPUT_H_

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "runsc/program/program.h"
#include "runsc/serve/event_sink.h"
#include "runsc/serve/serve.pb.h"
#include "runsc/serve/trace.h"

namespace cloister::serve {

// A pipe whose read end does not block. Both ends are close-on-exec.
struct Pipe {
  UniqueFd read, write;
  static absl::StatusOr<Pipe> Make();
};

// Turns what comes out of a sandbox into events: its streams, the trace, and the lines of a program's runner.
class Output {
 public:
  // request, sink: borrowed.
  Output(const RunRequest& request, EventSink* sink);

  void TakeStdout(std::string_view bytes);
  void TakeStderr(std::string_view bytes);
  void TakeTrace(std::string_view bytes);

  // More bytes came than the request allows; what is over it was not sent.
  bool OverLimit() const { return over_limit_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t syscalls() const { return syscalls_; }
  uint64_t syscalls_left_out() const { return left_out_; }
  Coverage SumCoverage(uint32_t handlers) const { return coverage_.Sum(handlers); }
  // What the runner said of the process that made a program's calls. False: nothing, or there is no program.
  bool ProgramEnd(Result* result) const;

 private:
  std::string_view Limited(std::string_view bytes);
  void TakeRunnerLine(std::string_view line);
  void CountCall(const CallResult& call);

  const RunRequest& request_;
  EventSink* const sink_;
  const program::Program program_;
  LineSplitter trace_lines_, runner_lines_;
  CoverageCounter coverage_;  // of a program: its own calls, without its runner's
  uint64_t bytes_ = 0, syscalls_ = 0, left_out_ = 0, traced_ = 0;
  bool over_limit_ = false;
  bool program_ended_ = false;
  Result program_end_;
};

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_OUTPUT_H_
