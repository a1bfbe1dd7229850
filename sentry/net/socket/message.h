#ifndef CLOISTER_SENTRY_NET_SOCKET_MESSAGE_H_
#define CLOISTER_SENTRY_NET_SOCKET_MESSAGE_H_

#include <sys/socket.h>

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "base/own/ref.h"
#include "sentry/net/socket/socket_address.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/file_description.h"

namespace cloister::net {

// Linux: SCM_MAX_FD.
inline constexpr size_t kMaxPassedFiles = 253;

// One control message that the sentry has no type for (IP_TTL, IPV6_PKTINFO …), without its header.
struct ControlItem {
  int level = 0;
  int type = 0;
  absl::InlinedVector<std::byte, 32> data;
};

// What rides on a message beside its bytes: sendmsg(2), recvmsg(2), unix(7).
struct Control {
  std::vector<Ref<vfs::FileDescription>> files;  // SCM_RIGHTS
  std::optional<ucred> credentials;              // SCM_CREDENTIALS
  std::vector<ControlItem> items;
};

struct SendRequest {
  SocketAddress to;                     // empty: to the peer
  Control control;                      // files are moved out when the message is taken
  int flags = 0;                        // MSG_…
  ucred sender = {};                    // who sends
  const vfs::Caller* caller = nullptr;  // for addresses that are paths; may be null without an address
};

struct Received {
  SocketAddress from;  // empty: none
  Control control;
  int flags = 0;           // MSG_TRUNC, MSG_CTRUNC, MSG_EOR, MSG_OOB, MSG_ERRQUEUE
  size_t full_length = 0;  // of the datagram, which may be more than was copied
};

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_SOCKET_MESSAGE_H_
