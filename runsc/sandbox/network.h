#ifndef CLOISTER_RUNSC_SANDBOX_NETWORK_H_
#define CLOISTER_RUNSC_SANDBOX_NETWORK_H_

#include <cstdint>
#include <functional>
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

// Runs body in the planned network namespace; what it returns is returned. For kCallers and kPrivate
// that is a plain call. Otherwise body runs in a helper process that shares memory and descriptors
// with the caller, which waits: nobody has to come back out of the namespace, which needs a privilege
// over the old one that a rootless caller lacks. Processes that body makes with the clone flags that
// it is given are children of the caller nevertheless.
absl::Status RunInNetwork(const NetworkPlan& plan,
                          const std::function<absl::Status(uint64_t clone_flags)>& body);

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_NETWORK_H_
