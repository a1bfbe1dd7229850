#ifndef CLOISTER_GOFER_PROTOCOL_WELCOME_H_
#define CLOISTER_GOFER_PROTOCOL_WELCOME_H_

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"
#include "gofer/protocol/channel.h"
#include "gofer/protocol/gofer.pb.h"
#include "gofer/protocol/windows.h"

namespace cloister::gofer {

// How the two sides begin: the gofer sends a Welcome, as a frame of base/host/fd_passing.h on connection
// 0's socket, unasked. On it ride the windows' memory and the sockets of the further connections.

// The gofer's part. sockets: the peer's ends of connections 1, 2, …; borrowed.
absl::Status SendWelcome(int socket, const Welcome& welcome, const Windows& windows,
                         std::span<const UniqueFd> sockets);

// What the sentry has then.
struct Welcomed {
  Welcome welcome;  // one element of cpus for each channel; doorbell below their number
  std::vector<std::unique_ptr<ClientChannel>> channels;
};

// The sentry's part: blocks for it. An error if it makes no sense.
absl::StatusOr<Welcomed> ReceiveWelcome(UniqueFd socket);

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_PROTOCOL_WELCOME_H_
