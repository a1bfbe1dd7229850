#include "runsc/sandbox/gofer_process.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error/status.h"
#include "gofer/protocol/config.h"
#include "runsc/sandbox/process.h"

namespace cloister::sandbox {
namespace {

constexpr int kChannelFd = gofer::kGoferConfigFd + 1;
constexpr int kLogFd = kChannelFd + 1;
constexpr int kFirstAttachFd = kLogFd + 1;
constexpr size_t kMaxAttachPoints = 200;

}  // namespace

absl::StatusOr<GoferProcess> StartGofer(const std::vector<AttachPoint>& attach, int log,
                                        const std::string& log_level, uint64_t clone_flags) {
  if (attach.size() > kMaxAttachPoints) return absl::InvalidArgumentError("mounts: too many bind mounts");
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return HostErrorNow("socketpair");
  UniqueFd sentry_end(ends[0]), gofer_end(ends[1]);
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0) return HostErrorNow("pipe2");
  UniqueFd errors_read(pipe_ends[0]), errors_write(pipe_ends[1]);
  gofer::GoferConfig config;
  config.set_channel_fd(kChannelFd);
  config.set_log_fd(log >= 0 ? kLogFd : -1);
  config.set_log_level(log_level);
  config.set_best_effort(geteuid() != 0);
  SpawnOptions spawn;
  spawn.argv = {"runsc-gofer"};
  spawn.clone_flags = clone_flags;
  for (size_t i = 0; i < attach.size(); ++i) {
    const int number = kFirstAttachFd + static_cast<int>(i);
    spawn.fds.push_back({attach[i].fd.get(), number});
    gofer::AttachPoint* point = config.add_attach();
    point->set_fd(number);
    point->set_readonly(attach[i].readonly);
    point->set_device_nodes(attach[i].device_nodes);
  }
  const UniqueFd config_fd = TRY_STATUS(gofer::MakeConfigFd(config));
  spawn.fds.push_back({config_fd.get(), gofer::kGoferConfigFd});
  spawn.fds.push_back({errors_write.get(), STDERR_FILENO});
  spawn.fds.push_back({gofer_end.get(), kChannelFd});
  if (log >= 0) spawn.fds.push_back({log, kLogFd});
  spawn.in_parent = [](pid_t child) {
    RaiseFileLimit(child);
    return absl::OkStatus();
  };
  const pid_t pid = TRY_STATUS(SpawnSelf(spawn));
  return GoferProcess{pid, std::move(sentry_end), std::move(errors_read)};
}

}  // namespace cloister::sandbox
