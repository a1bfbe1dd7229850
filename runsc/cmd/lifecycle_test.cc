// Whole calls of runsc with the real monitor and a fake sentry and gofer: this test program is all of
// them, by argv[0].
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/host/fd_passing.h"
#include "runsc/cmd/fake_sandbox.h"
#include "runsc/cmd/runsc.h"
#include "runsc/container/directory.h"
#include "runsc/sandbox/monitor.h"
#include "runsc/sandbox/pty.h"
#include "runsc/spec/spec.h"
#include "sentry/control/control.pb.h"

namespace cloister::cmd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

struct Outcome {
  int exit_status = -1;
  std::string out;
  std::string error;
};

std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  ssize_t got;
  while ((got = read(fd, buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(got));
  return text;
}

// A call of runsc that goes on beside the test.
struct Running {
  pid_t pid = 0;
  UniqueFd out;
  UniqueFd error;

  Outcome Finish() {
    Outcome outcome;
    outcome.out = ReadAll(out.get());
    outcome.error = ReadAll(error.get());
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    outcome.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    return outcome;
  }
  // The next bytes on standard output, once there are any.
  std::string ReadSome() const {
    char buffer[4096];
    const ssize_t got = read(out.get(), buffer, sizeof buffer);
    return std::string(buffer, got > 0 ? static_cast<size_t>(got) : 0);
  }
};

class LifecycleTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    // Like an engine: what runsc leaves behind becomes our child.
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    char pattern[] = "/tmp/runsc-lifecycle-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    ASSERT_EQ(mkdir(Path("bundle").c_str(), 0755), 0);
    ASSERT_EQ(mkdir(Path("bundle/rootfs").c_str(), 0755), 0);
  }

  void TearDown() override {
    if (directory_.empty()) return;
    for (const std::string& id : Ids()) Runsc({"delete", "--force", id});
    // Nobody may be left, and whoever ended is reaped here.
    while (waitpid(-1, nullptr, 0) > 0) {
    }
    EXPECT_THAT(Ids(), IsEmpty());
    [[maybe_unused]] const int removed = system(absl::StrCat("rm -rf ", directory_).c_str());
  }

  std::string Path(const std::string& name) const { return absl::StrCat(directory_, "/", name); }

  std::vector<std::string> Ids() const {
    const auto ids = container::ListIds(Path("root"));
    return ids.ok() ? *ids : std::vector<std::string>{"?"};
  }

  void WriteConfig(const std::vector<std::string>& args, bool terminal = false,
                   const std::string& more = "") {
    const std::string text = absl::StrCat(
        R"({"ociVersion":"1.0.2","process":{"cwd":"/","terminal":)", terminal ? "true" : "false",
        R"(,"args":[")", absl::StrJoin(args, "\",\""), R"("]},"root":{"path":"rootfs"})", more, "}");
    ASSERT_TRUE(container::WriteFileAtomically(Path("bundle/config.json"), text, 0644).ok());
  }

  Running Begin(const std::vector<std::string>& words) {
    int out[2], error[2];
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(error, O_CLOEXEC), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      dup2(out[1], STDOUT_FILENO);
      dup2(error[1], STDERR_FILENO);
      std::vector<std::string> all = {"runsc",     "--root",       Path("root"), "--log",
                                      Path("log"), "--log-format", "json"};
      all.insert(all.end(), words.begin(), words.end());
      std::vector<char*> argv;
      for (std::string& word : all) argv.push_back(word.data());
      argv.push_back(nullptr);
      execv("/proc/self/exe", argv.data());
      _exit(126);
    }
    close(out[1]);
    close(error[1]);
    return Running{pid, UniqueFd(out[0]), UniqueFd(error[0])};
  }

  // Reads standard output and error to their ends: also shows that nobody else keeps them.
  Outcome Runsc(const std::vector<std::string>& words) { return Begin(words).Finish(); }

  // create leaves its standard output to the container, so it must not be read to the end.
  int CreateContainer(const std::string& id, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"create", "--bundle", Path("bundle"), "--pid-file", Path("pid")};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back(id);
    created_ = Begin(words);
    int status = 0;
    EXPECT_EQ(waitpid(created_.pid, &status, 0), created_.pid);
    return WEXITSTATUS(status);
  }

  pid_t ReadPidFile(const std::string& name = "pid") const {
    int pid = 0;
    EXPECT_TRUE(absl::SimpleAtoi(spec::ReadTextFile(Path(name)).value_or(""), &pid));
    return pid;
  }

  int WaitFor(pid_t pid) {
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
  }

  // The container's standard output after create.
  Running created_;
  std::string directory_;
};

TEST_F(LifecycleTest, RunGivesOutputAndStatus) {
  WriteConfig({"exit", "42"});
  EXPECT_EQ(Runsc({"run", "-b", Path("bundle"), "c"}).exit_status, 42);
  WriteConfig({"echo", "hello"});
  const Outcome echo = Runsc({"run", "--bundle=" + Path("bundle"), "c"});
  EXPECT_EQ(echo.exit_status, 0);
  EXPECT_EQ(echo.out, "hello\n");
  EXPECT_EQ(echo.error, "");
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(LifecycleTest, EveryStepOfALife) {
  WriteConfig({"trap"});
  ASSERT_EQ(CreateContainer("c"), 0) << created_.Finish().error;
  EXPECT_THAT(Runsc({"state", "c"}).out, HasSubstr(R"("status": "created")"));
  const pid_t pid = ReadPidFile();
  EXPECT_EQ(kill(pid, 0), 0);
  EXPECT_EQ(Runsc({"start", "c"}).exit_status, 0);
  EXPECT_EQ(Runsc({"start", "c"}).error, "runsc: cannot start an already running container\n");
  EXPECT_THAT(Runsc({"list"}).out, HasSubstr("running"));
  EXPECT_EQ(Runsc({"ps", "--format", "json", "c"}).out, absl::StrCat("[", pid, "]\n"));
  EXPECT_EQ(Runsc({"kill", "c", "10"}).exit_status, 0);
  EXPECT_EQ(created_.ReadSome(), "signal 10\n");
  kill(pid, SIGHUP);
  EXPECT_EQ(created_.ReadSome(), "signal 1\n");
  EXPECT_EQ(Runsc({"pause", "c"}).exit_status, 0);
  EXPECT_EQ(Runsc({"exec", "c", "exit", "0"}).exit_status, 255);
  EXPECT_EQ(Runsc({"resume", "c"}).exit_status, 0);
  EXPECT_EQ(Runsc({"resume", "c"}).error, "runsc: container not paused\n");
  EXPECT_EQ(Runsc({"delete", "c"}).error, "runsc: cannot delete container c that is not stopped: running\n");
  EXPECT_EQ(Runsc({"kill", "c", "KILL"}).exit_status, 0);
  EXPECT_EQ(WTERMSIG(WaitFor(pid)), SIGKILL);
  EXPECT_THAT(Runsc({"state", "c"}).out, HasSubstr(R"("status": "stopped")"));
  EXPECT_EQ(Runsc({"kill", "c"}).error, "runsc: container not running\n");
  EXPECT_EQ(Runsc({"kill", "--all", "c", "9"}).exit_status, 0);
  EXPECT_EQ(Runsc({"start", "c"}).error, "runsc: cannot start a container that has stopped\n");
  EXPECT_EQ(Runsc({"delete", "c"}).exit_status, 0);
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(LifecycleTest, AMissingProgramIsCreatesError) {
  WriteConfig({"/nonexist"});
  const Outcome outcome = Runsc({"create", "--bundle", Path("bundle"), "c"});
  EXPECT_EQ(outcome.exit_status, 1);
  const std::string message =
      "runc create failed: unable to start container process: exec: \"/nonexist\": stat /nonexist: no such "
      "file or "
      "directory";
  EXPECT_EQ(outcome.error, absl::StrCat("runsc: ", message, "\n"));
  const std::string log = spec::ReadTextFile(Path("log")).value_or("");
  EXPECT_THAT(
      log, StartsWith(
               R"({"level":"error","msg":"runc create failed: unable to start container process: exec: \")"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1);
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(LifecycleTest, BadInputLeavesNothing) {
  EXPECT_THAT(Runsc({"run", "-b", Path("bundle"), "c"}).error, HasSubstr("config.json not found"));
  WriteConfig({"sleep"}, false,
              R"(,"mounts":[{"destination":"/m","type":"bind","source":"/nonexistent-source"}])");
  EXPECT_THAT(Runsc({"run", "-b", Path("bundle"), "c"}).error, HasSubstr("mounts[0].source: "));
  WriteConfig({"sleep"}, false, R"(,"linux":{"namespaces":[{"type":"network","path":"/nonexistent-net"}]})");
  EXPECT_THAT(Runsc({"run", "-b", Path("bundle"), "c"}).error, HasSubstr("/nonexistent-net"));
  WriteConfig({"sleep"}, false, R"(,"hooks":{"prestart":[{"path":"/bin/false"}]})");
  EXPECT_THAT(Runsc({"run", "-b", Path("bundle"), "c"}).error, HasSubstr("error running prestart hook #0"));
  ASSERT_EQ(rmdir(Path("bundle/rootfs").c_str()), 0);
  WriteConfig({"sleep"});
  EXPECT_THAT(Runsc({"run", "-b", Path("bundle"), "c"}).error, HasSubstr("root.path: "));
  EXPECT_THAT(Runsc({"run", "-b", Path("bundle"), "../c"}).error, HasSubstr("invalid container ID"));
  EXPECT_THAT(Runsc({"--platform", "moon", "list"}).error, HasSubstr("unknown value \"moon\""));
  EXPECT_EQ(Runsc({"fly"}).exit_status, 3);
  EXPECT_EQ(Runsc({"--moon", "list"}).exit_status, 1);
  EXPECT_THAT(Ids(), IsEmpty());
  EXPECT_EQ(waitpid(-1, nullptr, 0), -1);
}

TEST_F(LifecycleTest, UnknownContainer) {
  for (const char* verb : {"start", "state", "kill", "delete", "ps", "pause", "resume"}) {
    const Outcome outcome = Runsc({verb, "nobody"});
    EXPECT_EQ(outcome.exit_status, 1) << verb;
    EXPECT_EQ(outcome.error, "runsc: container does not exist\n") << verb;
  }
  EXPECT_EQ(Runsc({"exec", "nobody", "true"}).exit_status, 255);
  EXPECT_EQ(Runsc({"delete", "--force", "nobody"}).exit_status, 0);
  EXPECT_EQ(Runsc({"list", "-f", "json"}).out, "null\n");
}

TEST_F(LifecycleTest, ASecondOfTheSameNameTouchesNothing) {
  WriteConfig({"sleep"});
  ASSERT_EQ(CreateContainer("c"), 0);
  const Outcome second = Runsc({"create", "--bundle", Path("bundle"), "c"});
  EXPECT_EQ(second.exit_status, 1);
  EXPECT_EQ(second.error, "runsc: container with given ID already exists\n");
  EXPECT_THAT(Runsc({"state", "c"}).out, HasSubstr(R"("status": "created")"));
  EXPECT_EQ(Runsc({"delete", "c"}).exit_status, 0);  // of a created one: no force needed
}

TEST_F(LifecycleTest, KillingAnyProcessEndsAll) {
  for (const char* victim : {"monitor", "sentry", "gofer"}) {
    WriteConfig({"sleep"});
    ASSERT_EQ(CreateContainer("c"), 0);
    ASSERT_EQ(Runsc({"start", "c"}).exit_status, 0);
    const auto state = spec::ParseState(spec::ReadTextFile(Path("root/c/state.json")).value_or(""));
    ASSERT_TRUE(state.ok());
    const std::string_view name = victim;
    kill(name == "monitor"  ? state->monitor.pid
         : name == "sentry" ? state->sentry.pid
                            : state->gofer.pid,
         SIGKILL);
    for (int left = 3; left > 0; --left) EXPECT_GT(waitpid(-1, nullptr, 0), 0) << victim;
    EXPECT_THAT(Runsc({"state", "c"}).out, HasSubstr(R"("status": "stopped")"));
    EXPECT_EQ(Runsc({"delete", "c"}).exit_status, 0);
  }
}

TEST_F(LifecycleTest, ExecHasItsOwnMonitor) {
  WriteConfig({"sleep"});
  ASSERT_EQ(CreateContainer("c"), 0);
  ASSERT_EQ(Runsc({"start", "c"}).exit_status, 0);
  EXPECT_EQ(Runsc({"exec", "c", "exit", "7"}).exit_status, 7);
  EXPECT_EQ(Runsc({"exec", "-e", "A=b", "--cwd", "/", "c", "echo", "-x"}).out, "-x\n");
  const Outcome missing = Runsc({"exec", "c", "/nonexist"});
  EXPECT_EQ(missing.exit_status, 255);
  EXPECT_EQ(missing.error,
            "runsc: exec failed: unable to start container process: exec: \"/nonexist\": stat /nonexist: no "
            "such file "
            "or directory\n");
  Running detached = Begin({"exec", "-d", "--pid-file", Path("exec-pid"), "c", "trap"});
  EXPECT_EQ(WEXITSTATUS(WaitFor(detached.pid)), 0);
  const pid_t pid = ReadPidFile("exec-pid");
  kill(pid, SIGWINCH);
  EXPECT_EQ(detached.ReadSome(), "signal 28\n");
  EXPECT_EQ(Runsc({"ps", "-f", "json", "c"}).out, absl::StrCat("[", ReadPidFile(), ",", pid, "]\n"));
  kill(pid, SIGKILL);
  WaitFor(pid);
  EXPECT_EQ(ReadAll(detached.out.get()), "");  // the sentry let go of it
  EXPECT_EQ(Runsc({"delete", "-f", "c"}).exit_status, 0);
}

TEST_F(LifecycleTest, ASignalToAMonitorThatHasJustBegunIsNotLost) {
  for (const int signal : {SIGUSR1, SIGRTMIN, SIGWINCH}) {
    absl::StatusOr<sandbox::MonitorProcess> monitor = sandbox::StartMonitor(-1, {}, 0);
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    ASSERT_EQ(kill(monitor->pid, signal), 0);
    const absl::StatusOr<Frame> frame = ReceiveFrame(monitor->sentry_end.get(), 64);
    ASSERT_TRUE(frame.ok()) << frame.status();
    control::MonitorMessage message;
    EXPECT_TRUE(message.ParseFromArray(frame->payload.data(), static_cast<int>(frame->payload.size())));
    ASSERT_EQ(message.signal(), signal);
    kill(monitor->pid, SIGKILL);
    WaitFor(monitor->pid);
  }
}

TEST_F(LifecycleTest, AWedgedSentryCanBeKilled) {
  WriteConfig({"wedge"});
  ASSERT_EQ(CreateContainer("c"), 0);
  ASSERT_EQ(Runsc({"start", "c"}).exit_status, 0);
  EXPECT_THAT(Runsc({"state", "c"}).out, HasSubstr(R"("status": "running")"));
  EXPECT_EQ(Runsc({"delete", "--force", "c"}).exit_status, 0);
}

TEST_F(LifecycleTest, SignalsOfRunGoToTheContainer) {
  WriteConfig({"sleep"});
  Running run = Begin({"run", "-b", Path("bundle"), "--pid-file", Path("pid"), "c"});
  while (Runsc({"state", "c"}).out.find("running") == std::string::npos) {
  }
  kill(run.pid, SIGTERM);
  EXPECT_EQ(run.Finish().exit_status, 128 + SIGTERM);
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(LifecycleTest, HooksRunInOrder) {
  const auto hook = [&](const std::string& name) {
    return absl::StrCat("\"", name, R"(":[{"path":"/bin/sh","args":["sh","-c","echo )", name, " >> ",
                        Path("hooks"), R"("]}])");
  };
  WriteConfig({"exit", "0"}, false,
              absl::StrCat(",\"hooks\":{", hook("poststop"), ",", hook("poststart"), ",",
                           hook("createRuntime"), ",", hook("prestart"), "}"));
  EXPECT_EQ(Runsc({"run", "-b", Path("bundle"), "c"}).exit_status, 0);
  EXPECT_EQ(spec::ReadTextFile(Path("hooks")).value_or(""), "prestart\ncreateRuntime\npoststart\npoststop\n");
}

TEST_F(LifecycleTest, AKilledCreateLeavesNoProcess) {
  WriteConfig({"sleep"}, false,
              absl::StrCat(R"(,"hooks":{"prestart":[{"path":"/bin/sh","args":["sh","-c","echo x > )",
                           Path("began"), R"(; exec sleep 0.3"]}]})"));
  Running create = Begin({"create", "-b", Path("bundle"), "c"});
  while (access(Path("began").c_str(), F_OK) != 0) {
  }
  EXPECT_THAT(Runsc({"state", "c"}).out, HasSubstr(R"("status": "creating")"));
  kill(create.pid, SIGKILL);
  // runsc, hook, monitor, sentry and gofer, in whatever order.
  for (int left = 5; left > 0; --left) EXPECT_GT(waitpid(-1, nullptr, 0), 0);
  EXPECT_THAT(Runsc({"state", "c"}).out, HasSubstr(R"("status": "stopped")"));
  EXPECT_EQ(Runsc({"delete", "--force", "c"}).exit_status, 0);
}

TEST_F(LifecycleTest, AHookFindsTheNetworkOfThePid) {
  // The state on its standard input has the pid; its network namespace is not the caller's.
  const std::string script =
      "pid=$(sed 's/.*\\\"pid\\\":\\\\([0-9]*\\\\).*/\\\\1/'); test $(readlink /proc/$pid/ns/net) != "
      "$(readlink "
      "/proc/self/ns/net)";
  WriteConfig(
      {"exit", "0"}, false,
      absl::StrCat(R"(,"linux":{"namespaces":[{"type":"network"}]},"hooks":{"prestart":[{"path":"/bin/sh",)",
                   R"("args":["sh","-c",")", script, R"("]}]})"));
  const Outcome outcome = Runsc({"run", "-b", Path("bundle"), "c"});
  EXPECT_EQ(outcome.exit_status, 0) << outcome.error;
}

TEST_F(LifecycleTest, ConsoleSocketGetsTheMaster) {
  WriteConfig({"size"}, true);
  EXPECT_THAT(Runsc({"create", "-b", Path("bundle"), "c"}).error, HasSubstr("cannot allocate tty"));
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, Path("console").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  ASSERT_EQ(CreateContainer("c", {"--console-socket", Path("console")}), 0);
  // With a terminal nobody keeps runsc's own output.
  EXPECT_EQ(ReadAll(created_.out.get()), "");
  const UniqueFd connection(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  std::byte name[64];
  const auto received = ReceiveWithFds(connection.get(), name);
  ASSERT_TRUE(received.ok());
  ASSERT_EQ(received->fds.size(), 1u);
  const int master = received->fds[0].get();
  ASSERT_EQ(Runsc({"start", "c"}).exit_status, 0);
  const winsize size = {33, 44, 0, 0};
  ASSERT_EQ(ioctl(master, TIOCSWINSZ, &size), 0);
  char text[64] = {};
  EXPECT_GT(read(master, text, sizeof text - 1), 0);
  EXPECT_STREQ(text, "size 33x44\r\n");
}

TEST_F(LifecycleTest, RunOnATerminalProxies) {
  WriteConfig({"echo", "hi"}, true);
  auto pty = sandbox::OpenPty(10, 20);
  ASSERT_TRUE(pty.ok());
  const pid_t pid = fork();
  if (pid == 0) {
    setsid();
    ioctl(pty->slave.get(), TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; ++fd) dup2(pty->slave.get(), fd);
    execl("/proc/self/exe", "runsc", "--root", Path("root").c_str(), "run", "-b", Path("bundle").c_str(), "c",
          nullptr);
    _exit(126);
  }
  pty->slave.reset();
  EXPECT_EQ(ReadAll(pty->master.get()), "hi\r\n");
  EXPECT_EQ(WEXITSTATUS(WaitFor(pid)), 0);
}

TEST_F(LifecycleTest, DoTakesTheCommandAsItIs) {
  const Outcome outcome = Runsc({"do", "--network=none", "echo", "--cwd"});
  EXPECT_EQ(outcome.exit_status, 0) << outcome.error;
  EXPECT_EQ(outcome.out, "--cwd\n");
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(LifecycleTest, SpecRefusesToOverwrite) {
  EXPECT_EQ(Runsc({"spec", "-b", Path("bundle")}).exit_status, 0);
  EXPECT_EQ(spec::ReadTextFile(Path("bundle/config.json")).value_or(""), spec::DefaultConfig(false));
  EXPECT_EQ(Runsc({"spec", "-b", Path("bundle")}).exit_status, 1);
}

}  // namespace
}  // namespace cloister::cmd

int main(int argc, char** argv) {
  const std::string_view name = argv[0];
  if (name == "runsc") return cloister::cmd::RunscMain(argc, argv);
  if (name == "runsc-monitor") return cloister::sandbox::MonitorMain(argc, argv);
  if (name == "runsc-sentry") return cloister::cmd::FakeSentryMain();
  if (name == "runsc-gofer") return cloister::cmd::FakeGoferMain();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
