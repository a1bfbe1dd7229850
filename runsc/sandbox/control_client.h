#ifndef CLOISTER_RUNSC_SANDBOX_CONTROL_CLIENT_H_
#define CLOISTER_RUNSC_SANDBOX_CONTROL_CLIENT_H_

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/host/unique_fd.h"
#include "sentry/control/control.pb.h"

namespace cloister::sandbox {

inline constexpr char kControlSocketName[] = "control.sock";

// A listening socket at directory/control.sock, for the sentry. Mode 0600. The path may be longer
// than sockaddr_un: it is reached through the directory's descriptor.
absl::StatusOr<UniqueFd> ListenForControl(const std::string& directory);

// A connection to a sandbox's sentry. Every call has a deadline; behind one that was missed, or any
// other transport error, the connection is of no use.
class ControlClient {
 public:
  // Unavailable where nobody listens.
  static absl::StatusOr<ControlClient> Connect(const std::string& directory, absl::Duration patience);

  // One request, one reply. The sentry's own error is a status with its text. The deadline covers
  // the whole call. fds are borrowed.
  absl::StatusOr<control::Reply> Call(const control::Request& request, absl::Duration patience,
                                      std::span<const int> fds = {});

 private:
  explicit ControlClient(UniqueFd socket) : socket_(std::move(socket)) {}

  // Fills data until deadline.
  absl::Status Receive(std::span<std::byte> data, absl::Time deadline);

  UniqueFd socket_;
};

}  // namespace cloister::sandbox

#endif  // CLOISTER_RUNSC_SANDBOX_CONTROL_CLIENT_H_
