#include "runsc/cmd/fake_sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/host/fd_passing.h"
#include "gofer/protocol/config.h"
#include "sentry/control/control.pb.h"

namespace cloister::cmd {
namespace {

constexpr size_t kMaxFrame = 1 << 20;

struct FakeProcess {
  control::Process process;
  UniqueFd monitor;
  std::vector<UniqueFd> stdio;
  bool running = false;

  int out() const { return stdio.size() == 1 ? stdio[0].get() : stdio[1].get(); }
  void Print(const std::string& text) const {
    [[maybe_unused]] const ssize_t written = write(out(), text.data(), text.size());
  }
};

void SendMessage(int socket, const google::protobuf::MessageLite& message) {
  const std::string bytes = message.SerializeAsString();
  if (!SendFrame(socket, std::as_bytes(std::span(bytes)), {}).ok()) return;
}

template <typename Message>
bool ReceiveMessage(int socket, Message* message, std::vector<UniqueFd>* fds) {
  absl::StatusOr<Frame> frame = ReceiveFrame(socket, kMaxFrame);
  if (!frame.ok() || frame->end_of_stream) return false;
  *fds = std::move(frame->fds);
  return message->ParseFromArray(frame->payload.data(), static_cast<int>(frame->payload.size()));
}

class FakeSentry {
 public:
  int Run();

 private:
  bool Boot();
  void Accept();
  bool Serve(int client);
  void Answer(const control::Request& request, std::vector<UniqueFd> fds, control::Reply* reply);
  void Begin(FakeProcess* process);
  void End(FakeProcess* process, uint32_t wait_status);
  void Deliver(FakeProcess* process, int signal);

  std::map<int, FakeProcess> processes_;  // 1 is init
  std::vector<UniqueFd> clients_;
  bool paused_ = false;
  bool wedged_ = false;
};

// What must be missing in a sentry that was locked down.
bool IsLockedDown() {
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || getpid() != 1 || getuid() != 65534) return false;
  if (prctl(PR_CAPBSET_READ, 21, 0, 0, 0) != 0) return false;
  return access("/proc", F_OK) != 0 && access("/etc", F_OK) != 0 && open("/x", O_CREAT | O_WRONLY, 0600) < 0;
}

bool FakeSentry::Boot() {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t got = read(control::BOOT_FD_CONFIG, buffer, sizeof buffer);
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  control::BootConfig config;
  std::string error;
  if (!config.ParseFromString(text)) error = "no configuration";
  if (!IsLockedDown()) error = "not locked down";
  FakeProcess& init = processes_[1];
  init.process = config.container().process();
  const std::string name = error.empty() ? init.process.args(0) : "";
  if (!name.empty() && name[0] == '/') {
    error = absl::StrCat("exec: \"", name, "\": stat ", name, ": no such file or directory");
  }
  const std::string said = error.empty() ? "R" : absl::StrCat("E", error, "\n");
  if (write(control::BOOT_FD_READY, said.data(), said.size()) < 0 || !error.empty()) return false;
  close(control::BOOT_FD_READY);
  init.monitor.reset(control::BOOT_FD_MONITOR);
  const int count = config.fd_count() == 0 ? 1 : 3;
  for (int i = 0; i < count; ++i) init.stdio.emplace_back(control::BOOT_FD_STDIO_FIRST + i);
  return true;
}

void FakeSentry::End(FakeProcess* process, uint32_t wait_status) {
  control::MonitorMessage message;
  message.set_wait_status(wait_status);
  SendMessage(process->monitor.get(), message);
  process->running = false;
  process->stdio.clear();
  if (process == &processes_[1]) exit(0);
  process->monitor.reset();
}

void FakeSentry::Begin(FakeProcess* process) {
  process->running = true;
  const auto& args = process->process.args();
  const std::string argument = args.size() > 1 ? args[1] : "";
  if (args[0] == "exit") return End(process, static_cast<uint32_t>(atoi(argument.c_str())) << 8);
  if (args[0] == "echo") {
    process->Print(argument + "\n");
    return End(process, 0);
  }
  if (args[0] == "wedge") wedged_ = true;
}

void FakeSentry::Deliver(FakeProcess* process, int signal) {
  const std::string& what = process->process.args(0);
  if (what == "trap" && signal != SIGKILL) return process->Print(absl::StrCat("signal ", signal, "\n"));
  if (signal == SIGWINCH || signal == 0) {
    winsize size = {};
    if (what == "size" && ioctl(process->out(), TIOCGWINSZ, &size) == 0) {
      process->Print(absl::StrCat("size ", size.ws_row, "x", size.ws_col, "\n"));
    }
    return;
  }
  End(process, static_cast<uint32_t>(signal));
}

void FakeSentry::Answer(const control::Request& request, std::vector<UniqueFd> fds, control::Reply* reply) {
  using control::Request;
  switch (request.kind_case()) {
    case Request::kStart:
    case Request::kSignal:
      break;  // carried out behind the reply
    case Request::kPause:
    case Request::kResume:
      paused_ = request.has_pause();
      break;
    case Request::kState:
      reply->mutable_state()->set_state(paused_                 ? control::StateReply::PAUSED
                                        : processes_[1].running ? control::StateReply::RUNNING
                                                                : control::StateReply::CREATED);
      break;
    case Request::kPs:
      for (const auto& [pid, process] : processes_) {
        control::ProcessInfo* info = reply->mutable_ps()->add_processes();
        info->set_pid(pid);
        info->set_command(process.process.args(0));
      }
      break;
    case Request::kExec: {
      const std::string& name = request.exec().process().args(0);
      if (name[0] == '/') {
        reply->set_error(absl::StrCat("exec: \"", name, "\": stat ", name, ": no such file or directory"));
        return;
      }
      const int pid = processes_.rbegin()->first + 1;
      FakeProcess& process = processes_[pid];
      process.process = request.exec().process();
      process.monitor = std::move(fds[0]);
      for (size_t i = 1; i < fds.size(); ++i) process.stdio.push_back(std::move(fds[i]));
      reply->mutable_exec()->set_pid(pid);
      break;
    }
    default:
      reply->set_error("not in the fake");
  }
}

bool FakeSentry::Serve(int client) {
  control::Request request;
  std::vector<UniqueFd> fds;
  if (!ReceiveMessage(client, &request, &fds)) return false;
  if (wedged_) return true;
  control::Reply reply;
  Answer(request, std::move(fds), &reply);
  SendMessage(client, reply);
  if (request.has_start()) Begin(&processes_[1]);
  if (request.has_exec() && reply.has_exec()) Begin(&processes_[reply.exec().pid()]);
  if (request.has_signal()) Deliver(&processes_[1], request.signal().signal());
  return true;
}

void FakeSentry::Accept() {
  const int client = accept4(control::BOOT_FD_CONTROL, nullptr, nullptr, SOCK_CLOEXEC);
  if (client >= 0) clients_.emplace_back(client);
}

int FakeSentry::Run() {
  if (!Boot()) return 1;
  while (true) {
    std::vector<pollfd> entries = {{control::BOOT_FD_CONTROL, POLLIN, 0},
                                   {control::BOOT_FD_GOFER, POLLIN, 0}};
    for (const UniqueFd& client : clients_) entries.push_back({client.get(), POLLIN, 0});
    const size_t first_monitor = entries.size();
    std::vector<int> pids;
    for (const auto& [pid, process] : processes_) {
      entries.push_back({process.monitor.get(), POLLIN, 0});
      pids.push_back(pid);
    }
    if (poll(entries.data(), entries.size(), -1) < 0) return 1;
    if (entries[1].revents != 0) return 1;
    for (size_t i = 0; i < pids.size(); ++i) {
      if (entries[first_monitor + i].revents == 0) continue;
      FakeProcess& process = processes_[pids[i]];
      control::MonitorMessage message;
      std::vector<UniqueFd> fds;
      const bool alive = ReceiveMessage(process.monitor.get(), &message, &fds);
      Deliver(&process, alive ? message.signal() : SIGKILL);
    }
    for (size_t i = first_monitor; i-- > 2;) {
      if (entries[i].revents == 0 || Serve(entries[i].fd)) continue;
      clients_.erase(clients_.begin() + static_cast<long>(i - 2));
    }
    if (entries[0].revents != 0) Accept();
  }
}

}  // namespace

int FakeSentryMain() { return FakeSentry().Run(); }

int FakeGoferMain() {
  const absl::StatusOr<gofer::GoferConfig> config = gofer::ReadConfig(gofer::kGoferConfigFd);
  if (!config.ok()) return 1;
  char byte;
  return read(config->channel_fd(), &byte, 1) == 0 ? 0 : 1;
}

}  // namespace cloister::cmd
