#ifndef CLOISTER_RUNSC_SHIM_BOOTSTRAP_H_
#define CLOISTER_RUNSC_SHIM_BOOTSTRAP_H_

#include <string>

#include "absl/status/statusor.h"

namespace cloister::shim {

// What containerd says on the command line. The working directory is the bundle.
struct ShimOptions {
  std::string name_space;
  std::string id;              // of the container
  std::string address;         // of containerd's gRPC socket
  std::string publish_binary;  // containerd's program
  std::string bundle;          // "delete" only
  bool debug = false;
};

// The descriptor at which a daemon finds its listening socket.
inline constexpr int kListenerFd = 3;

// "start": begins the daemon that serves the container, or finds the one that serves its pod (the annotation
// io.kubernetes.cri.sandbox-id of config.json). Answers the address that goes to standard output,
// "unix:///run/containerd/s/…", which also stands in the bundle's file "address".
absl::StatusOr<std::string> StartDaemon(const ShimOptions& options);

// "delete": what the daemon would do, when it is dead: ends the container, unmounts its root, removes the
// socket if nobody listens any more. Answers the DeleteResponse for standard output.
absl::StatusOr<std::string> DeleteContainer(const ShimOptions& options);

// Takes the file of a daemon's socket away before the daemon stops listening, so that it is never another
// daemon's that begins at the same moment.
void RemoveSocket(const std::string& address);

// The path in an address; the text itself where it is none.
std::string SocketPath(const std::string& address);

// Where the daemon for a container or a pod listens: the same for all that name the same group.
std::string SocketAddress(const std::string& containerd_address, const std::string& name_space,
                          const std::string& group);

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_BOOTSTRAP_H_
