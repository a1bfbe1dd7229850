#include "gofer/server/server.h"

#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>

#include "absl/synchronization/blocking_counter.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "gofer/protocol/limits.h"
#include "gofer/protocol/welcome.h"

namespace cloister::gofer {
namespace {

constexpr uint32_t kFewestByDefault = 2;
constexpr uint32_t kMostByDefault = 8;

// The CPUs that this thread may run on.
std::vector<int> UsableCpus() {
  cpu_set_t set;
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) < 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

void PinThisThread(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // A CPU taken away meanwhile: unpinned is slower and right.
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0) LOG(kDebug, "cannot pin to CPU %d", cpu);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Make(UniqueFd channel, std::vector<Ref<HostNode>> attach,
                                                     const Options& options) {
  const std::vector<int> usable = UsableCpus();
  uint32_t pinned = options.connections;
  if (pinned == 0) {
    pinned = std::clamp(static_cast<uint32_t>(usable.size()), kFewestByDefault, kMostByDefault);
  }
  const uint32_t count = pinned + (options.doorbell ? 1 : 0);
  if (count > kMaxConnections) return absl::InvalidArgumentError("too many connections for a gofer");
  std::unique_ptr<Server> server(new Server(options));
  Welcome& welcome = server->welcome_;
  welcome.set_max_nodes(options.max_nodes);
  if (options.doorbell) welcome.set_doorbell(pinned);
  for (uint32_t i = 0; i < count; ++i) {
    welcome.add_cpus(i < pinned && options.pin && !usable.empty() ? usable[i % usable.size()] : -1);
  }
  std::vector<UniqueFd> ours;
  for (uint32_t i = 1; i < count; ++i) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return HostErrorNow("socketpair");
    ours.emplace_back(pair[0]);
    server->theirs_.emplace_back(pair[1]);
  }
  const std::shared_ptr<const Windows> windows = TRY_STATUS(Windows::Make(count));
  server->windows_ = windows;
  server->shared_.attach = std::move(attach);
  server->socket_ = channel.get();
  server->first_ = std::make_unique<Session>(ServerChannel(std::move(channel), windows, 0), &server->shared_,
                                             /*may_listen=*/false);
  absl::BlockingCounter starting(static_cast<int>(count) - 1);
  for (uint32_t i = 1; i < count; ++i) {
    server->StartWorker(ServerChannel(std::move(ours[i - 1]), windows, i), welcome.cpus(static_cast<int>(i)),
                        /*may_listen=*/i == welcome.doorbell(), &starting);
  }
  starting.Wait();
  return server;
}

void Server::StartWorker(ServerChannel channel, int cpu, bool may_listen, absl::BlockingCounter* starting) {
  workers_.emplace_back([this, cpu, may_listen, starting, channel = std::move(channel)]() mutable {
    PinThisThread(cpu);
    Session session(std::move(channel), &shared_, may_listen);
    starting->DecrementCount();
    const absl::Status ended = session.Serve();
    if (!ended.ok()) LOG(kWarning, "connection ended: %s", ended.message());
  });
}

void Server::PinCaller() { PinThisThread(welcome_.cpus(0)); }

absl::Status Server::Run() {
  absl::Status ended = SendWelcome(socket_, welcome_, *windows_, theirs_);
  theirs_.clear();
  if (ended.ok()) ended = first_->Serve();
  first_.reset();  // hangs up: a peer that broke the protocol does not wait for a reply
  return ended;
}

Server::~Server() {
  theirs_.clear();  // never given away: their workers see the end
  for (std::thread& worker : workers_) worker.join();
}

}  // namespace cloister::gofer
