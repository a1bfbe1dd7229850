#ifndef CLOISTER_SENTRY_NET_INET_HOST_ROUTES_H_
#define CLOISTER_SENTRY_NET_INET_HOST_ROUTES_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/host/unique_fd.h"
#include "sentry/net/socket/stack.h"

namespace cloister::net {

// The host's rtnetlink(7), asked over a socket that was opened at start (the network namespace of
// that moment). Thread-safe.
class HostRoutes {
 public:
  static absl::StatusOr<UniqueFd> OpenSocket();
  explicit HostRoutes(UniqueFd socket) : host_(std::move(socket)) {}

  // All answers to a dump request of this type and family, as Stack::RouteDump.
  ErrnoOr<Stack::Messages> Dump(uint16_t type, uint8_t family) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  ErrnoOrVoid Request(uint16_t type, uint8_t family) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<bool> ReadAnswers(Stack::Messages* messages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;  // leaf: one request at a time
  const UniqueFd host_;
  uint32_t sequence_ ABSL_GUARDED_BY(mu_) = 0;
};

// Interfaces out of the answers to RTM_GETLINK and RTM_GETADDR. What is malformed is left out.
std::vector<Interface> ParseInterfaces(const Stack::Messages& links, const Stack::Messages& addresses);

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_INET_HOST_ROUTES_H_
