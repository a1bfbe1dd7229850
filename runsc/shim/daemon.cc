#include "runsc/shim/daemon.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/host/reaper.h"
#include "base/log/log.h"
#include "runsc/shim/bundle_files.h"
#include "runsc/shim/oom_watcher.h"
#include "runsc/shim/publisher.h"
#include "runsc/shim/service.h"
#include "runsc/shim/ttrpc/server.h"
#include "runsc/spec/spec.h"

namespace cloister::shim {
namespace {

constexpr absl::Duration kLastEvents = absl::Seconds(2);
constexpr int kArenas = 1;  // of the allocator: one for each thread would cost more than all else

// Reading as well, so that a containerd that is restarted neither blocks nor signals the shim. Records that
// nobody reads are lost.
void OpenLog(bool debug) {
  const int log = open("log", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  StartLog(log, debug ? LogLevel::kDebug : LogLevel::kInfo, "shim");
}

std::string EnvironmentOr(const char* name, const std::string& otherwise) {
  const char* value = getenv(name);
  return value != nullptr ? value : otherwise;
}

}  // namespace

void RunDaemon(const ShimOptions& options) {
  mallopt(M_ARENA_MAX, kArenas);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_NAME, "shim-runsc");
  fcntl(kListenerFd, F_SETFD, FD_CLOEXEC);
  OpenLog(options.debug);
  // Objects that threads use to the end are never destroyed.
  auto* reaper = new Reaper();
  auto* publisher = new Publisher({.ttrpc_socket = EnvironmentOr("TTRPC_ADDRESS", ""),
                                   .publish_binary = options.publish_binary,
                                   .address = options.address,
                                   .name_space = options.name_space},
                                  reaper);
  auto* server = new ttrpc::Server(UniqueFd(kListenerFd));
  const std::string address = spec::ReadTextFile("address").value_or("");
  auto* service = new Service({options.name_space, reaper, publisher, new OomWatcher()}, [server, address] {
    RemoveSocket(address);
    server->Stop();
  });
  service->Register(server);
  server->Serve();
  publisher->Flush(kLastEvents);
  _exit(0);
}

}  // namespace cloister::shim
