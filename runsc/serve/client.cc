#include "runsc/serve/client.h"

#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runsc/program/program.h"
#include "runsc/serve/serve.grpc.pb.h"

namespace cloister::serve {
namespace {

constexpr int kLimitStatus = 124;  // as timeout(1)
constexpr std::chrono::seconds kStartPatience(5);

void ShowSyscalls(const Syscalls& syscalls) {
  for (const Syscall& call : syscalls.calls()) {
    const std::string result =
        call.error().empty() ? absl::StrCat(call.result()) : absl::StrCat("-1 ", call.error());
    fprintf(stderr, "[%u] %s(%s) = %s\n", call.thread(), call.name().c_str(),
            absl::StrJoin(call.args(), ", ").c_str(), result.c_str());
  }
}

void ShowCall(const program::Program& program, const CallResult& call) {
  const char* const name =
      call.index() < program.calls.size() ? program.calls[call.index()].signature->name : "?";
  const std::string result = call.waits() ? "waits" : absl::StrCat(call.result());
  printf("%u %s = %s\n", call.index(), name, result.c_str());
}

void ShowCoverage(const Coverage& coverage) {
  fprintf(stderr, "coverage: %u of %u handlers\n", coverage.handlers_reached(), coverage.handlers());
  for (const CallCoverage& call : coverage.calls()) {
    std::string answers;
    for (const Answer& answer : call.answers()) {
      absl::StrAppend(&answers, " ", answer.error().empty() ? "ok" : answer.error(), " x", answer.count());
    }
    fprintf(stderr, "  %s:%s\n", call.name().c_str(), answers.c_str());
  }
}

std::string Describe(const Result& result) {
  switch (result.ended_by()) {
    case Result::ENDED_BY_EXIT:
      return absl::StrCat("exit ", result.exit_code());
    case Result::ENDED_BY_SIGNAL:
      return absl::StrCat("signal ", result.signal());
    case Result::ENDED_BY_WALL_TIME:
      return "ended by its time";
    case Result::ENDED_BY_CPU_TIME:
      return "ended by its processor time";
    case Result::ENDED_BY_OUTPUT:
      return "ended by its output";
    case Result::ENDED_BY_MEMORY:
      return "ended by its memory";
    default:
      return "ended";
  }
}

void ShowResult(const Result& result) {
  const Usage& usage = result.usage();
  fprintf(stderr, "result: %s; %.1f ms, processor %.1f ms, memory %.1f MiB\n", Describe(result).c_str(),
          static_cast<double>(usage.wall_us()) / 1e3, static_cast<double>(usage.cpu_us()) / 1e3,
          static_cast<double>(usage.peak_memory_bytes()) / (1 << 20));
  if (usage.syscalls_left_out() > 0)
    fprintf(stderr, "%llu of %llu system calls are not in the trace\n",
            static_cast<unsigned long long>(usage.syscalls_left_out()),
            static_cast<unsigned long long>(usage.syscalls()));
}

int ShellStatus(const Result& result) {
  if (result.ended_by() == Result::ENDED_BY_EXIT) return result.exit_code();
  if (result.ended_by() == Result::ENDED_BY_SIGNAL) return 128 + result.signal();
  return kLimitStatus;
}

void Show(const program::Program& program, const RunEvent& event) {
  const auto put = [](FILE* stream, const std::string& bytes) {
    fwrite(bytes.data(), 1, bytes.size(), stream);
    fflush(stream);
  };
  if (event.has_stdout_data()) put(stdout, event.stdout_data());
  if (event.has_stderr_data()) put(stderr, event.stderr_data());
  if (event.has_syscalls()) ShowSyscalls(event.syscalls());
  if (event.has_call()) ShowCall(program, event.call());
  if (event.has_coverage()) ShowCoverage(event.coverage());
  if (event.has_result()) ShowResult(event.result());
}

void ShowAsJson(const RunEvent& event) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(event, &text, options).ok()) return;
  printf("%s\n", text.c_str());
  fflush(stdout);
}

}  // namespace

absl::StatusOr<int> ShowRun(const std::string& socket, const RunRequest& request, bool json) {
  const program::Program program = program::Parse(request.program().text());
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  const std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
  // A server that has just been started; without one the call says so.
  channel->WaitForConnected(std::chrono::system_clock::now() + kStartPatience);
  const std::unique_ptr<Sandboxes::Stub> stub = Sandboxes::NewStub(channel);
  grpc::ClientContext context;
  const std::unique_ptr<grpc::ClientReader<RunEvent>> reader = stub->Run(&context, request);
  RunEvent event;
  int status = 1;
  while (reader->Read(&event)) {
    if (json) {
      ShowAsJson(event);
    } else {
      Show(program, event);
    }
    if (event.has_result()) status = ShellStatus(event.result());
  }
  const grpc::Status finished = reader->Finish();
  if (finished.ok()) return status;
  return absl::Status(static_cast<absl::StatusCode>(finished.error_code()), finished.error_message());
}

}  // namespace cloister::serve
