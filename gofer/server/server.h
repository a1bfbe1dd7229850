#ifndef CLOISTER_GOFER_SERVER_SERVER_H_
#define CLOISTER_GOFER_SERVER_SERVER_H_

#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/blocking_counter.h"
#include "base/host/unique_fd.h"
#include "gofer/protocol/windows.h"
#include "gofer/server/session.h"

namespace cloister::gofer {

// The connections of one gofer and their workers: a thread each. Most are for the sockets, and pinned
// to a CPU each, so that what is sent from there wakes no other one. One more is for the doorbell
// (gofer/protocol/channel.h): it runs where its caller does. Connection 0 is served by the thread that
// calls Run.
class Server {
 public:
  struct Options {
    uint32_t connections = 0;  // without the doorbell's. 0: one per CPU that this thread may use, 2 to 8
    bool doorbell = true;
    uint64_t max_nodes = 1 << 20;
    bool pin = true;
  };
  // attach: by the configuration's index. When it returns the workers have started: whatever starting a
  // thread asks of the host is behind them, and a filter may be loaded.
  static absl::StatusOr<std::unique_ptr<Server>> Make(UniqueFd channel, std::vector<Ref<HostNode>> attach,
                                                      const Options& options);
  // Closes nothing under a worker: the peer must have hung up.
  ~Server();

  // Pins the calling thread, which is to call Run.
  void PinCaller();
  // Welcomes the peer, which has only connection 0 before, and serves that until its end.
  absl::Status Run();

  const NodeTable& table() const { return shared_.table; }

 private:
  explicit Server(const Options& options) : shared_(options.max_nodes) {}
  void StartWorker(ServerChannel channel, int cpu, bool may_listen, absl::BlockingCounter* starting);

  Shared shared_;
  Welcome welcome_;
  std::shared_ptr<const Windows> windows_;
  int socket_ = -1;               // connection 0's; first_ owns it
  std::vector<UniqueFd> theirs_;  // the peer's ends of connections 1, 2, …, until Run gives them away
  std::unique_ptr<Session> first_;
  std::vector<std::thread> workers_;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_SERVER_SERVER_H_
