#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runsc/serve/output.h"
#include "runsc/serve/request.h"
#include "runsc/serve/trace.h"

namespace cloister::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kPrefix[] = "2026-11-24T03:50:12.345678Z sentry I [7] ";

std::optional<Syscall> ParseCall(const std::string& call) { return ParseTraceLine(kPrefix + call); }

TEST(TraceTest, ACallIsNameArgumentsAndResult) {
  const auto call = ParseCall(R"(openat(AT_FDCWD, "/etc/a, b) = 3\"", O_RDONLY|O_CLOEXEC, 0) = 3)");
  ASSERT_TRUE(call.has_value());
  EXPECT_EQ(call->thread(), 7u);
  EXPECT_EQ(call->name(), "openat");
  EXPECT_THAT(call->args(), ElementsAre("AT_FDCWD", R"("/etc/a, b) = 3\"")", "O_RDONLY|O_CLOEXEC", "0"));
  EXPECT_EQ(call->result(), 3);
  EXPECT_EQ(call->error(), "");
}

TEST(TraceTest, ResultsAreNumbersAddressesAndErrors) {
  EXPECT_EQ(ParseCall("mmap(NULL, 4096) = 0x7f0000001000")->result(), 0x7f0000001000);
  EXPECT_EQ(ParseCall("lseek(3, 0, SEEK_END) = -5000")->result(), -5000);
  const auto failed = ParseCall("close(99) = -1 EBADF");
  EXPECT_EQ(failed->result(), -1);
  EXPECT_EQ(failed->error(), "EBADF");
  EXPECT_THAT(ParseCall("getpid() = 1")->args(), IsEmpty());
}

TEST(TraceTest, OtherLinesAreNone) {
  for (const char* line :
       {"", "container x is created", "openat(1", "openat(1) 3", "openat(1) = ", "openat = 3"})
    EXPECT_FALSE(ParseCall(line).has_value()) << line;
  EXPECT_FALSE(ParseTraceLine("2026-11-24T03:50:12.345678Z gofer I [7] getpid() = 1").has_value());
  EXPECT_FALSE(ParseTraceLine("[7] getpid() = 1").has_value());
}

TEST(TraceTest, LinesAreCutWhereverTheyArrive) {
  LineSplitter lines;
  lines.Add("one\ntw");
  EXPECT_EQ(lines.Next(), "one");
  EXPECT_EQ(lines.Next(), std::nullopt);
  lines.Add("o\n\n" + std::string(LineSplitter::kMaxLine + 1, 'x'));
  EXPECT_EQ(lines.Next(), "two");
  EXPECT_EQ(lines.Next(), "");
  EXPECT_EQ(lines.Next(), std::nullopt);
  lines.Add("still too long");
  EXPECT_EQ(lines.Next(), std::nullopt);
  lines.Add("\nthree\n");
  EXPECT_EQ(lines.Next(), "three");
}

TEST(TraceTest, CoverageIsTheSetOfAnswers) {
  CoverageCounter counter;
  for (const char* call : {"close(1) = 0", "close(2) = 0", "close(3) = -1 EBADF", "read(0, 0x1, 1) = 0"})
    counter.Count(*ParseCall(call));
  const Coverage coverage = counter.Sum(300);
  EXPECT_EQ(coverage.handlers(), 300u);
  EXPECT_EQ(coverage.handlers_reached(), 2u);
  ASSERT_EQ(coverage.calls_size(), 2);
  EXPECT_EQ(coverage.calls(0).name(), "read");
  ASSERT_EQ(coverage.calls(1).answers_size(), 2);
  EXPECT_EQ(coverage.calls(1).answers(0).count(), 2u);
  EXPECT_EQ(coverage.calls(1).answers(1).error(), "EBADF");
}

RunRequest SomeCommand() {
  RunRequest request;
  request.mutable_command()->add_args("true");
  return request;
}

std::string Complaint(RunRequest request) { return std::string(CheckRequest({}, &request).message()); }

TEST(RequestTest, WhatIsLeftOpenGetsItsDefault) {
  RunRequest request = SomeCommand();
  ASSERT_TRUE(CheckRequest({}, &request).ok());
  EXPECT_EQ(request.root(), "/");
  EXPECT_EQ(request.command().cwd(), "/tmp");
  EXPECT_THAT(request.command().env(0), HasSubstr("PATH="));
  EXPECT_EQ(request.limits().wall_ms(), 10'000u);
  EXPECT_EQ(request.limits().cpu_ms(), 0u);
}

TEST(RequestTest, BadFieldsAreNamed) {
  EXPECT_THAT(Complaint({}), HasSubstr("work:"));
  RunRequest request = SomeCommand();
  request.mutable_command()->add_args(std::string("a\0b", 3));
  EXPECT_THAT(Complaint(request), HasSubstr("command.args:"));
  request = SomeCommand();
  request.mutable_command()->add_env("=x");
  EXPECT_THAT(Complaint(request), HasSubstr("command.env:"));
  request = SomeCommand();
  request.mutable_command()->set_cwd("tmp");
  EXPECT_THAT(Complaint(request), HasSubstr("command.cwd:"));
  request = SomeCommand();
  request.set_root("tree");
  EXPECT_THAT(Complaint(request), HasSubstr("root:"));
  request = SomeCommand();
  request.mutable_limits()->set_memory_bytes(1);
  EXPECT_THAT(Complaint(request), HasSubstr("limits.memory_bytes:"));
  request.mutable_limits()->set_memory_bytes(0);
  request.mutable_limits()->set_wall_ms(UINT64_MAX);
  EXPECT_THAT(Complaint(request), HasSubstr("limits.wall_ms:"));
  request = SomeCommand();
  request.set_platform(static_cast<Platform>(9));
  EXPECT_THAT(Complaint(request), HasSubstr("platform:"));
  request.mutable_program()->set_text("0 getpid()\n0 getpid(\n");
  EXPECT_THAT(Complaint(request), HasSubstr("program.text: line 2"));
  request.mutable_program()->set_text("# nothing\n");
  EXPECT_THAT(Complaint(request), HasSubstr("program.text:"));
}

TEST(RequestTest, NamesOfFilesStayBelowTheirDirectory) {
  const std::string with_nul("a\0b", 3);
  for (const std::string& name :
       std::vector<std::string>{"", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a/", with_nul}) {
    RunRequest request = SomeCommand();
    request.add_files()->set_name(name);
    EXPECT_THAT(Complaint(request), HasSubstr("files.name:")) << name;
  }
  RunRequest request = SomeCommand();
  request.add_files()->set_name("a/b");
  request.add_files()->set_name("a-c");
  EXPECT_EQ(Complaint(request), "");
  request.add_files()->set_name("a");
  EXPECT_THAT(Complaint(request), HasSubstr("files.name:"));
  request.mutable_files(2)->set_name("a-c");
  EXPECT_THAT(Complaint(request), HasSubstr("files.name:"));
}

class Events final : public EventSink {
 public:
  void Send(RunEvent event) override { all.push_back(std::move(event)); }
  bool IsFull() const override { return false; }
  bool IsCancelled() const override { return false; }
  int wake_fd() const override { return -1; }
  std::vector<RunEvent> all;
};

TEST(OutputTest, WhatIsOverTheLimitIsNotSent) {
  RunRequest request = SomeCommand();
  request.mutable_limits()->set_output_bytes(5);
  Events events;
  Output output(request, &events);
  output.TakeStdout("abc");
  EXPECT_FALSE(output.OverLimit());
  output.TakeStderr("def");
  EXPECT_TRUE(output.OverLimit());
  ASSERT_EQ(events.all.size(), 2u);
  EXPECT_EQ(events.all[1].stderr_data(), "de");
  EXPECT_EQ(output.bytes(), 5u);
}

TEST(OutputTest, LinesOfTheRunnerBecomeResults) {
  RunRequest request;
  request.mutable_program()->set_text("0 getpid()\n0 pause()\n");
  ASSERT_TRUE(CheckRequest({}, &request).ok());
  Events events;
  Output output(request, &events);
  output.TakeStdout("0 2\n1 wai");
  output.TakeStdout("ts\nnonsense\n5 x\nsignal 11\n");
  ASSERT_EQ(events.all.size(), 2u);
  EXPECT_EQ(events.all[0].call().result(), 2);
  EXPECT_TRUE(events.all[1].call().waits());
  output.TakeStdout("1 -4\n7 -4\n");
  const Coverage coverage = output.SumCoverage(300);
  ASSERT_EQ(coverage.calls_size(), 2);
  EXPECT_EQ(coverage.calls(0).name(), "pause");
  EXPECT_EQ(coverage.calls(0).answers(0).error(), "EINTR");
  EXPECT_EQ(coverage.calls(1).answers(0).error(), "");
  Result result;
  ASSERT_TRUE(output.ProgramEnd(&result));
  EXPECT_EQ(result.signal(), 11);
}

}  // namespace
}  // namespace cloister::serve
