#ifndef CLOISTER_RUNSC_SANDBOX_NETWORK_H_
#define CLOISTER_RUNSC_SANDBOX_NETWORK_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"

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

// Puts the calling thread into the planned network namespace for the life of this object. Nothing
// happens for kCallers and kPrivate. One at a time.
class NetworkScope {
 public:
  static absl::StatusOr<NetworkScope> Enter(const NetworkPlan& plan);
  NetworkScope(NetworkScope&&) = default;
  // Goes back; ends the process if it cannot, as nothing may go on in the wrong namespace.
  ~NetworkScope();

 private:
  explicit NetworkScope(UniqueFd before) : before_(std::move(before)) {}
  UniqueFd before_;  // invalid: nothing to undo
};

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_NETWORK_H_
