#include "gofer/server/gofer_main.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/base/internal/sysinfo.h"
#include "absl/synchronization/mutex.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "gofer/protocol/config.h"
#include "gofer/server/filter.h"
#include "gofer/server/jail.h"
#include "gofer/server/privileges.h"
#include "gofer/server/server.h"

namespace cloister::gofer {
namespace {

// Descriptors that are not nodes: connections, the log, and one in use per worker, with room.
constexpr uint64_t kReservedFiles = 128;
constexpr uint64_t kMostNodes = 1 << 20;

LogLevel ToLevel(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "error") return LogLevel::kError;
  return LogLevel::kWarning;
}

absl::Status CloseOthers(const GoferConfig& config) {
  std::vector<int> keep = {config.channel_fd(), config.log_fd()};
  for (const AttachPoint& point : config.attach()) keep.push_back(point.fd());
  return CloseAllBut(std::move(keep));
}

absl::StatusOr<std::vector<Ref<HostNode>>> TakeAttachPoints(const GoferConfig& config) {
  std::vector<Ref<HostNode>> attach;
  for (const AttachPoint& point : config.attach()) {
    const int flags = fcntl(point.fd(), F_GETFL);
    if (flags < 0) return HostErrorNow("attach point");
    if ((flags & O_PATH) == 0) return absl::InvalidArgumentError("attach point is not O_PATH");
    UniqueFd fd =
        TRY_STATUS(ConfineAttachPoint(UniqueFd(point.fd()), point.readonly(), config.best_effort()));
    const AttachOrigin origin{static_cast<uint32_t>(attach.size()), point.readonly(), point.device_nodes()};
    ErrnoOr<Ref<HostNode>> node = HostNode::Attach(std::move(fd), origin);
    if (!node.ok()) return ToStatus(node.error(), "attach point");
    attach.push_back(*std::move(node));
  }
  return attach;
}

// What libraries do on first use and the filter does not allow later.
void WarmUp() {
  // One arena for all: the workers allocate little, and memory of an idle gofer counts.
  mallopt(M_ARENA_MAX, 1);
  absl::base_internal::NumCPUs();  // asked for by the first contended absl::Mutex
}

absl::StatusOr<std::unique_ptr<Server>> Prepare() {
  const GoferConfig config = TRY_STATUS(ReadConfig(kGoferConfigFd));
  StartLog(config.log_fd(), ToLevel(config.log_level()), "gofer");
  RETURN_IF_ERROR(CloseOthers(config));
  std::vector<Ref<HostNode>> attach = TRY_STATUS(TakeAttachPoints(config));
  RETURN_IF_ERROR(EnterJail(config.best_effort()));
  const uint64_t files = TRY_STATUS(RaiseFileLimit());
  const uint64_t most = files > 2 * kReservedFiles ? files - kReservedFiles : kReservedFiles;
  Server::Options options;
  options.connections = config.connections();
  options.max_nodes = std::min(config.max_nodes() == 0 ? kMostNodes : config.max_nodes(), most);
  const bool device_nodes = std::any_of(config.attach().begin(), config.attach().end(),
                                        [](const AttachPoint& point) { return point.device_nodes(); });
  RETURN_IF_ERROR(DropPrivileges(device_nodes));
  WarmUp();
  // The workers start now and inherit all of the above; the filter then reaches every thread.
  auto server = TRY_STATUS(Server::Make(UniqueFd(config.channel_fd()), std::move(attach), options));
  server->PinCaller();
  RETURN_IF_ERROR(LoadGoferFilter(config.filter(), config.log_fd()));
  return server;
}

}  // namespace

int GoferMain(int, char**) {
  signal(SIGPIPE, SIG_IGN);
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // Debian's library has it on
  absl::StatusOr<std::unique_ptr<Server>> server = Prepare();
  if (!server.ok()) {
    LOG(kError, "%s", server.status().message());
    fprintf(stderr, "runsc-gofer: %s\n", FirstLine(server.status()).c_str());
    return 1;
  }
  const absl::Status ended = (*server)->Run();
  if (!ended.ok()) LOG(kWarning, "channel ended: %s", ended.message());
  _exit(ended.ok() ? 0 : 1);
}

}  // namespace cloister::gofer
