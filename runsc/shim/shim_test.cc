#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/host/reaper.h"
#include "runsc/shim/api/metrics.pb.h"
#include "runsc/shim/api/options.pb.h"
#include "runsc/shim/bootstrap.h"
#include "runsc/shim/bundle_files.h"
#include "runsc/shim/logger_uri.h"
#include "runsc/shim/mounts.h"
#include "runsc/shim/runtime_config.h"
#include "runsc/shim/stdio.h"
#include "runsc/shim/usage.h"

namespace cloister::shim {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::string TempPath(const std::string& name) { return absl::StrCat(testing::TempDir(), "/", name); }

Reaper& TheReaper() {
  static Reaper* const reaper = new Reaper();
  return *reaper;
}

api::Mount MakeMount(const std::string& type, std::vector<std::string> options) {
  api::Mount mount;
  mount.set_type(type);
  mount.set_source("/source");
  for (const std::string& option : options) mount.add_options(option);
  return mount;
}

TEST(MountsTest, BindTakesItsFlagsInASecondCall) {
  const MountCall call = ToMountCall(MakeMount("bind", {"rbind", "ro"})).value();
  EXPECT_EQ(call.flags, static_cast<unsigned long>(MS_BIND | MS_REC));
  EXPECT_EQ(call.remount, static_cast<unsigned long>(MS_REMOUNT | MS_BIND | MS_RDONLY));
}

TEST(MountsTest, OverlayKeepsItsData) {
  const MountCall call = ToMountCall(MakeMount("overlay", {"index=off", "lowerdir=/a:/b", "ro"})).value();
  EXPECT_EQ(call.flags, static_cast<unsigned long>(MS_RDONLY));
  EXPECT_EQ(call.data, "index=off,lowerdir=/a:/b");
  EXPECT_EQ(call.remount, 0u);
}

TEST(MountsTest, ManyLayersAreNamedFromAboveThem) {
  std::string data = "workdir=/s/3/w,lowerdir=/s/snapshots/2/fs:/s/snapshots/1/fs,upperdir=/s/3/u";
  EXPECT_EQ(CompactLowerDirs(&data), "/s/snapshots/");
  EXPECT_EQ(data, "workdir=/s/3/w,lowerdir=2/fs:1/fs,upperdir=/s/3/u");
  std::string apart = "lowerdir=/a:b";
  EXPECT_EQ(CompactLowerDirs(&apart), "");
  EXPECT_EQ(apart, "lowerdir=/a:b");
}

TEST(MountsTest, NothingMountedIsNoError) {
  EXPECT_TRUE(UnmountAll(testing::TempDir()).ok());
  EXPECT_TRUE(UnmountAll(TempPath("missing")).ok());
}

TEST(RuntimeConfigTest, FileNamesRunscAndItsArguments) {
  const RuntimeConfig config = ParseRuntimeConfig(R"(
binary_name = "/opt/runsc"
root = "/run/r"
runtime_args = ["--debug"]
[runsc_config]
platform = "ptrace"
strace = true
)",
                                                  "f")
                                   .value();
  EXPECT_EQ(config.binary, "/opt/runsc");
  EXPECT_EQ(config.root, "/run/r");
  EXPECT_THAT(config.args, ElementsAre("--debug", "--platform=ptrace", "--strace=true"));
}

TEST(RuntimeConfigTest, BrokenFilesAreRefusedWithTheirPlace) {
  for (const char* text : {"x = [", "runtime_args = \"a\"", "runtime_args = [1]", "runsc_config = 3",
                           "[runsc_config]\na = []"}) {
    const absl::Status status = ParseRuntimeConfig(text, "f.toml").status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), StartsWith("f.toml:"));
  }
}

TEST(RuntimeConfigTest, RuncOptionsAreUnderstoodAndOthersRefused) {
  api::RuncOptions options;
  options.set_binary_name("/opt/runsc");
  options.set_systemd_cgroup(true);
  api::Any any;
  any.set_type_url("containerd.runc.v1.Options");
  any.set_value(options.SerializeAsString());
  EXPECT_THAT(ResolveRuntime(any).value().args, ElementsAre("--systemd-cgroup"));
  any.set_value("\xff\xff");
  EXPECT_TRUE(absl::IsInvalidArgument(ResolveRuntime(any).status()));
  any.set_type_url("something.else");
  EXPECT_TRUE(absl::IsInvalidArgument(ResolveRuntime(any).status()));
}

TEST(RuntimeConfigTest, IsKeptInTheBundle) {
  const RuntimeConfig saved{"/opt/runsc", "/run/r", {"--a", "--b=\"c\""}};
  ASSERT_TRUE(SaveRuntime(testing::TempDir(), saved).ok());
  const RuntimeConfig loaded = LoadRuntime(testing::TempDir()).value();
  EXPECT_EQ(loaded.binary, saved.binary);
  EXPECT_EQ(loaded.root, saved.root);
  EXPECT_EQ(loaded.args, saved.args);
}

TEST(LoggerUriTest, IsAProgramAndItsArguments) {
  const LoggerUri uri = ParseLoggerUri("binary:///bin/log%20er?id=a+b&flag").value();
  EXPECT_EQ(uri.path, "/bin/log er");
  EXPECT_THAT(uri.args, ElementsAre("id", "a b", "flag"));
  for (const char* bad :
       {"file:///x", "binary://relative", "binary:///x?%zz", "binary:///x?a%0", "binary:///x?%00"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseLoggerUri(bad).status())) << bad;
  }
}

TEST(BundleFilesTest, LastErrorOfALogCounts) {
  const std::string path = TempPath("log.json");
  std::ofstream(path) << R"({"level":"error","msg":"first"})" << "\n"
                      << R"({"level":"warning","msg":"no error"})" << "\nnot JSON\n"
                      << R"({"level":"error","msg":"last"})" << "\n";
  EXPECT_EQ(LastError(path), "last");
  EXPECT_EQ(LastError(TempPath("missing")), "");
}

TEST(BundleFilesTest, PidFilesAreChecked) {
  const std::string path = TempPath("pid");
  for (const char* bad : {"", "x", "-4", "0", "99999999999"}) {
    std::ofstream(path) << bad;
    EXPECT_FALSE(ReadPidFile(path).ok()) << bad;
  }
  std::ofstream(path) << "123";
  EXPECT_EQ(ReadPidFile(path).value(), 123);
}

TEST(BundleFilesTest, NamesThatLeadOutOfTheBundleAreRefused) {
  EXPECT_TRUE(IsPlainName("0123abc_-.x"));
  for (const char* name : {"", ".", "..", "../x", "a/b", "-rf", "a b", "a\n"})
    EXPECT_FALSE(IsPlainName(name)) << name;
  EXPECT_FALSE(IsPlainName(std::string(129, 'a')));
}

TEST(SocketAddressTest, IsOnePlaceForEachGroup) {
  const std::string address = SocketAddress("/run/c.sock", "ns", "id");
  EXPECT_THAT(address, StartsWith("unix:///run/containerd/s/"));
  EXPECT_EQ(address.size(), std::string("unix:///run/containerd/s/").size() + 64);
  EXPECT_EQ(address, SocketAddress("/run/c.sock", "ns", "id"));
  EXPECT_NE(address, SocketAddress("/run/c.sock", "ns", "other"));
  EXPECT_EQ(SocketPath(address + "\n"), address.substr(7));
}

TEST(UsageTest, GroupIsFoundInEveryHierarchy) {
  const cgroup::Group group = ParseGroup(
      "30 20 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "31 20 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
      "4:memory:/ns/id\n0::/ns/id\n");
  EXPECT_EQ(group.DirectoryOf("memory"), "/sys/fs/cgroup/memory/ns/id");
  EXPECT_TRUE(group.HasV1("memory"));
}

TEST(UsageTest, FilesBecomeMetrics) {
  const std::string directory = TempPath("memory");
  mkdir(directory.c_str(), 0755);
  std::ofstream(directory + "/memory.stat") << "cache 11\ntotal_rss 22\n";
  std::ofstream(directory + "/memory.usage_in_bytes") << "4096\n";
  std::ofstream(directory + "/memory.limit_in_bytes") << "8192\n";
  const api::Any usage = ReadUsage(cgroup::Group({{"memory", directory}}));
  EXPECT_EQ(usage.type_url(), "io.containerd.cgroups.v1.Metrics");
  api::MetricsV1 metrics;
  ASSERT_TRUE(metrics.ParseFromString(usage.value()));
  EXPECT_EQ(metrics.memory().cache(), 11u);
  EXPECT_EQ(metrics.memory().total_rss(), 22u);
  EXPECT_EQ(metrics.memory().usage().usage(), 4096u);
  EXPECT_EQ(metrics.memory().usage().limit(), 8192u);
}

TEST(ReaperTest, StatusIsTheExitCodeOr128AndTheSignal) {
  EXPECT_EQ(TheReaper().Run({.argv = {"/bin/sh", "-c", "exit 7"}}).value().status, 7u);
  EXPECT_EQ(TheReaper().Run({.argv = {"/bin/sh", "-c", "kill -9 $$"}}).value().status, 137u);
}

TEST(ReaperTest, ProgramThatIsMissingIsAnError) {
  const absl::Status status = TheReaper().Run({.argv = {"/no/such"}}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("No such file"));
}

TEST(ReaperTest, ProcessThatACommandLeavesBehindIsTold) {
  const std::string path = TempPath("shim-left.pid"), gate = TempPath("shim-left.gate");
  unlink(gate.c_str());
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  const Reaper::Expectation expectation(&TheReaper());
  const std::string script = absl::StrCat("sh -c 'read x < ", gate, "; exit 5' & echo -n $! > ", path);
  ASSERT_EQ(TheReaper().Run({.argv = {"/bin/sh", "-c", script}}).value().status, 0u);
  absl::Notification told;
  uint32_t status = 0;
  TheReaper().Watch(ReadPidFile(path).value(), [&](const Exit& exit) {
    status = exit.status;
    told.Notify();
  });
  std::ofstream(gate) << "go\n";
  told.WaitForNotification();
  EXPECT_EQ(status, 5u);
  unlink(gate.c_str());
}

TEST(ReaperTest, ProcessThatIsGoneIsToldAtOnce) {
  const std::string path = TempPath("shim-gone.pid");
  const Reaper::Expectation expectation(&TheReaper());
  const std::string script = absl::StrCat("echo -n $$ > ", path, "; exit 6");
  ASSERT_EQ(TheReaper().Run({.argv = {"/bin/sh", "-c", script}}).value().status, 6u);
  uint32_t status = 0;
  TheReaper().Watch(ReadPidFile(path).value(), [&](const Exit& exit) { status = exit.status; });
  EXPECT_EQ(status, Reaper::kLost);  // its end has been told already
}

TEST(ReaperTest, ServesTwoThreads) {
  std::vector<std::thread> threads;
  for (const char* code : {"3", "4"}) {
    threads.emplace_back([code] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(TheReaper().Run({.argv = {"/bin/sh", "-c", absl::StrCat("exit ", code)}}).value().status,
                  static_cast<uint32_t>(code[0] - '0'));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(StdioTest, FifoIsHandedOverAndSurvivesItsReader) {
  const std::string path = TempPath("shim-out");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  auto stdio = Stdio::Open({.out = path}, "id", "ns", &TheReaper()).value();
  ASSERT_EQ(stdio->fds().size(), 3u);
  int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK);
  close(reader);
  EXPECT_EQ(write(stdio->fds()[1], "x", 1), 1);  // no SIGPIPE
  reader = open(path.c_str(), O_RDONLY | O_NONBLOCK);
  char byte = 0;
  EXPECT_EQ(read(reader, &byte, 1), 1);
  ASSERT_TRUE(stdio->Started(UniqueFd()).ok());
  EXPECT_EQ(read(reader, &byte, 1), 0);  // the end: nobody else has it
  close(reader);
  unlink(path.c_str());
}

TEST(StdioTest, InputEndsWhenItIsClosed) {
  const std::string path = TempPath("shim-in");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  auto stdio = Stdio::Open({.in = path}, "id", "ns", &TheReaper()).value();
  const int container = dup(stdio->fds()[0]);
  const int writer = open(path.c_str(), O_WRONLY);
  EXPECT_EQ(write(writer, "x", 1), 1);
  close(writer);
  ASSERT_TRUE(stdio->Started(UniqueFd()).ok());
  stdio->CloseInput();
  char byte = 0;
  EXPECT_EQ(read(container, &byte, 1), 1);
  EXPECT_EQ(read(container, &byte, 1), 0);
  close(container);
  unlink(path.c_str());
}

TEST(StdioTest, FilesAreAppendedToAndBadPathsRefused) {
  const std::string path = TempPath("file.log");
  std::ofstream(path) << "a";
  {
    auto stdio = Stdio::Open({.out = "file://" + path}, "id", "ns", &TheReaper()).value();
    EXPECT_EQ(write(stdio->fds()[1], "b", 1), 1);
  }
  std::string text;
  std::ifstream(path) >> text;
  EXPECT_EQ(text, "ab");
  EXPECT_FALSE(Stdio::Open({.out = "/no/such/file"}, "id", "ns", &TheReaper()).ok());
  EXPECT_FALSE(Stdio::Open({.out = "binary:///no/such"}, "id", "ns", &TheReaper()).ok());
}

TEST(StdioTest, ResizeNeedsATerminal) {
  auto stdio = Stdio::Open({}, "id", "ns", &TheReaper()).value();
  EXPECT_TRUE(absl::IsFailedPrecondition(stdio->Resize(80, 24)));
}

}  // namespace
}  // namespace cloister::shim
