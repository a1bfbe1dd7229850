#ifndef CLOISTER_RUNSC_SHIM_TTRPC_CLIENT_H_
#define CLOISTER_RUNSC_SHIM_TTRPC_CLIENT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/host/unique_fd.h"

namespace cloister::ttrpc {

// One call after the other over one connection. For one thread.
class Client {
 public:
  // path: of a unix socket.
  static absl::StatusOr<Client> Connect(const std::string& path);

  // The answer's serialised message, or the status that the server gave. Unavailable where the connection has
  // failed or patience has run out; the client is then of no further use.
  absl::StatusOr<std::string> Call(const std::string& service, const std::string& method,
                                   const std::string& payload, absl::Duration patience);

 private:
  explicit Client(UniqueFd socket) : socket_(std::move(socket)) {}

  UniqueFd socket_;
  uint32_t stream_ = 1;
};

// Fills in a socket's address; invalid argument where the path is too long for one.
absl::StatusOr<UniqueFd> ConnectTo(const std::string& path);

}  // namespace cloister::ttrpc

#endif  // CLOISTER_RUNSC_SHIM_TTRPC_CLIENT_H_
