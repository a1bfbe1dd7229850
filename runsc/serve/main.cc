#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "runsc/cmd/flags.h"
#include "runsc/serve/client.h"
#include "runsc/serve/server.h"
#include "runsc/spec/spec.h"

namespace cloister::serve {
namespace {

constexpr uint64_t kMebi = 1 << 20;

std::string DefaultSocket() {
  const char* const runtime_dir = getenv("XDG_RUNTIME_DIR");
  if (geteuid() == 0 || runtime_dir == nullptr) return "/run/runsc-serve.sock";
  return absl::StrCat(runtime_dir, "/runsc-serve.sock");
}

absl::Status Positive(const char* flag, int value) {
  if (value > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": must be greater than 0"));
}

// What is common to server and client.
struct Common {
  std::string socket = DefaultSocket();
  std::string runsc, platform;
};

absl::StatusOr<int> RunServer(const Common& common, const std::vector<std::string>& args) {
  ServerOptions options;
  options.socket = common.socket;
  options.host.runsc = common.runsc;
  options.host.platform = common.platform;
  options.parallel = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  int max_seconds = 600, max_memory = 4096;
  const char* const temporary = getenv("TMPDIR");
  if (temporary != nullptr && temporary[0] == '/') options.host.temporary = temporary;
  cmd::Flags flags(
      "runsc serve", "[options] | run [options] COMMAND …",
      "Runs commands and programs of system calls in fresh sandboxes for gRPC clients, on a unix "
      "socket that only its owner may use. \"run\" is a client: see runsc serve run --help.");
  flags.String("socket", &options.socket, "where to listen. Default: " + options.socket);
  flags.Int("parallel", &options.parallel, "sandboxes at once. Default: one for each processor");
  flags.Int("waiting", &options.most_waiting, "calls that may wait beside them. Default: 256");
  flags.Int("max-seconds", &max_seconds, "the longest time that a request may ask for. Default: 600");
  flags.Int("max-memory", &max_memory, "the most memory, in MiB. Default: 4096");
  RETURN_IF_ERROR(flags.Parse(args));
  if (!flags.positionals().empty())
    return absl::InvalidArgumentError(absl::StrCat("unknown \"", flags.positionals()[0], "\""));
  RETURN_IF_ERROR(Positive("parallel", options.parallel));
  RETURN_IF_ERROR(Positive("waiting", options.most_waiting + 1));
  RETURN_IF_ERROR(Positive("max-seconds", max_seconds));
  RETURN_IF_ERROR(Positive("max-memory", max_memory));
  if (options.socket.empty() || options.socket[0] != '/')
    return absl::InvalidArgumentError("--socket: must be an absolute path");
  options.host.bounds.wall_ms = static_cast<uint64_t>(max_seconds) * 1000;
  options.host.bounds.memory_bytes = static_cast<uint64_t>(max_memory) * kMebi;
  RETURN_IF_ERROR(Serve(options));
  return 0;
}

absl::StatusOr<std::string> ReadInput(const std::string& path) {
  return spec::ReadTextFile(path == "-" ? "/dev/stdin" : path);
}

absl::Status AddFiles(const std::vector<std::string>& paths, RunRequest* request) {
  for (const std::string& path : paths) {
    File* const file = request->add_files();
    file->set_name(path.substr(path.rfind('/') + 1));
    file->set_content(TRY_STATUS(spec::ReadTextFile(path)));
    file->set_executable(access(path.c_str(), X_OK) == 0);
  }
  return absl::OkStatus();
}

absl::StatusOr<int> RunClient(const Common& common, const std::vector<std::string>& args) {
  RunRequest request;
  std::string socket = common.socket, program, input, root, cwd, platform = common.platform;
  std::vector<std::string> env, files;
  bool trace = false, coverage = false, json = false;
  int seconds_ms = 0, cpu_ms = 0, memory = 0, processes = 0, output = 0, trace_calls = 0;
  cmd::Flags flags("runsc serve run", "[options] COMMAND [ARGUMENT …] | --program FILE",
                   "Has a server run a command, or a program of system calls, and shows what comes of it.");
  flags.StopAtPositional();
  flags.String("socket", &socket, "the server's. Default: " + socket);
  flags.String("program", &program, "a file of system calls, one a line; - is standard input");
  flags.String("stdin", &input, "a file that the command reads; - is standard input. Default: nothing");
  flags.String("root", &root, "root file system. Default: /");
  flags.String("cwd", &cwd, "working directory");
  flags.Strings("env", &env, "NAME=value");
  flags.Strings("file", &files, "a file to put into /run/serve/files");
  flags.String("platform", &platform, "systrap or ptrace");
  flags.Bool("trace", &trace, "show every system call");
  flags.Bool("coverage", &coverage, "sum up calls and errors at the end");
  flags.Bool("json", &json, "print every event as a line of JSON");
  flags.Int("time", &seconds_ms, "limit, in milliseconds");
  flags.Int("cpu-time", &cpu_ms, "limit on processor time, in milliseconds");
  flags.Int("memory", &memory, "limit, in MiB");
  flags.Int("processes", &processes, "limit on threads and processes");
  flags.Int("output", &output, "limit on what is written, in bytes");
  flags.Int("trace-calls", &trace_calls, "limit on the trace");
  RETURN_IF_ERROR(flags.Parse(args));
  for (const int limit : {seconds_ms, cpu_ms, memory, processes, output, trace_calls}) {
    if (limit < 0) return absl::InvalidArgumentError("a limit is less than 0");
  }
  if (!program.empty()) {
    request.mutable_program()->set_text(TRY_STATUS(ReadInput(program)));
  } else {
    Command& command = *request.mutable_command();
    for (const std::string& word : flags.positionals()) command.add_args(word);
    for (const std::string& variable : env) command.add_env(variable);
    command.set_cwd(cwd);
    if (!input.empty()) command.set_input(TRY_STATUS(ReadInput(input)));
  }
  request.set_root(root);
  RETURN_IF_ERROR(AddFiles(files, &request));
  if (platform == "systrap") request.set_platform(PLATFORM_SYSTRAP);
  if (platform == "ptrace") request.set_platform(PLATFORM_PTRACE);
  request.set_trace(trace);
  request.set_coverage(coverage);
  Limits& limits = *request.mutable_limits();
  limits.set_wall_ms(static_cast<uint64_t>(seconds_ms));
  limits.set_cpu_ms(static_cast<uint64_t>(cpu_ms));
  limits.set_memory_bytes(static_cast<uint64_t>(memory) * kMebi);
  limits.set_processes(static_cast<uint64_t>(processes));
  limits.set_output_bytes(static_cast<uint64_t>(output));
  limits.set_trace_calls(static_cast<uint64_t>(trace_calls));
  return ShowRun(socket, request, json);
}

// runsc passes the first two options on its own account.
absl::StatusOr<int> Main(std::vector<std::string> words) {
  Common common;
  while (words.size() >= 2 && words[0] == "--runsc") {
    common.runsc = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  constexpr char kPlatform[] = "--platform=";
  if (!words.empty() && words[0].rfind(kPlatform, 0) == 0) {
    common.platform = words[0].substr(sizeof kPlatform - 1);
    words.erase(words.begin());
  }
  if (common.runsc.empty()) return absl::InvalidArgumentError("to be started by runsc serve");
  if (!words.empty() && words[0] == "run") return RunClient(common, {words.begin() + 1, words.end()});
  return RunServer(common, words);
}

}  // namespace
}  // namespace cloister::serve

int main(int argc, char** argv) {
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  umask(0022);
  const absl::StatusOr<int> done = cloister::serve::Main({argv + 1, argv + argc});
  if (done.ok()) return *done;
  if (absl::IsCancelled(done.status()) && !done.status().message().empty()) {
    fputs(std::string(done.status().message()).c_str(), stdout);  // --help
    return 0;
  }
  fprintf(stderr, "runsc serve: %s\n", cloister::FirstLine(done.status()).c_str());
  return 1;
}
