#ifndef CLOISTER_SENTRY_BOOT_CONTROL_SERVER_H_
#define CLOISTER_SENTRY_BOOT_CONTROL_SERVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/host/fd_passing.h"
#include "base/host/unique_fd.h"
#include "sentry/boot/sandbox.h"
#include "sentry/control/control.pb.h"

namespace cloister::boot {

// Answers runsc on the sandbox's control socket. The main thread serves all connections in turn; a
// request that takes time (Wait) is answered later by whoever ends it.
class ControlServer {
 public:
  // The listening socket is taken over. The sandbox outlives the server.
  ControlServer(UniqueFd listener, Sandbox& sandbox);

  // What needs more rights than the sentry has once it is locked down.
  absl::Status Prepare();
  // Run ends the process when fd, the gofer's socket, has lost its peer: while nobody asks it
  // anything, nobody else would miss it.
  absl::Status EndWith(int fd);
  // Serves until the process ends.
  [[noreturn]] void Run();

 private:
  struct Connection {
    explicit Connection(UniqueFd socket) : socket(std::move(socket)) {}
    absl::Mutex mu;  // leaf
    UniqueFd socket ABSL_GUARDED_BY(mu);
    void Answer(const control::Reply& reply) ABSL_LOCKS_EXCLUDED(mu);
  };

  void Accept();
  // False: the connection has ended.
  bool Serve(const std::shared_ptr<Connection>& connection);
  absl::Status Create(const control::CreateRequest& request, std::vector<UniqueFd> fds);
  // False: fd is no gofer's line.
  bool TellHangUp(int fd);
  void Handle(const std::shared_ptr<Connection>& connection, const control::Request& request,
              std::vector<UniqueFd> fds);

  const UniqueFd listener_;
  UniqueFd epoll_;
  int lifeline_ = -1;  // EndWith's
  Sandbox& sandbox_;
  std::map<int, std::shared_ptr<Connection>> connections_;  // the server's thread alone
  std::map<int, Sandbox::Created> gofer_lines_;  // of further containers; the server's thread alone
};

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_CONTROL_SERVER_H_
