#ifndef CLOISTER_RUNSC_SANDBOX_NETWORK_H_
#define CLOISTER_RUNSC_SANDBOX_NETWORK_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"

namespace cloister::sandbox {

// Where the sandbox's host sockets live.
enum class NetworkKind {
  kCallers,  // the network namespace of runsc
  kJoined,   // one that somebody else made, given by path
  kNew,      // made here in runsc's user namespace, so that engines and hooks can set it up
  kPrivate,  // made with the sentry's own user namespace: loopback only, nobody else gets in
};

struct NetworkPlan {
  NetworkKind kind = NetworkKind::kPrivate;
  std::string path;                           // kJoined
  std::map<std::string, std::string> sysctl;  // net.…, written where the namespace is new
};

// Brings the loopback device up and lets processes without privilege use low ports and ping, in the
// network namespace of the calling thread; then the given net.… settings.
absl::Status SetUpNewNetwork(const std::map<std::string, std::string>& sysctl);

// Moves the calling process into the planned network namespace. For kCallers and kPrivate there is nothing
// to do.
absl::Status EnterNetwork(const NetworkPlan& plan);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_NETWORK_H_
