#ifndef CLOISTER_SENTRY_NET_INET_HOST_STACK_H_
#define CLOISTER_SENTRY_NET_INET_HOST_STACK_H_

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "sentry/net/inet/host_routes.h"
#include "sentry/net/socket/net_namespace.h"
#include "sentry/net/socket/stack.h"

namespace cloister::net {

// The host's own stack in the sentry's network namespace: --network=host, and --network=none, where that
// namespace has only a loopback device.
class HostStack final : public Stack {
 public:
  // Opens the route socket: before the sentry is locked down.
  static absl::StatusOr<Ref<HostStack>> Create();
  explicit HostStack(UniqueFd route_socket) : routes_(std::move(route_socket)) {}

  ErrnoOr<Ref<Socket>> MakeSocket(const SocketRequest& request, Ref<NetNamespace> net) override;
  ErrnoOr<std::vector<Interface>> Interfaces() override;
  ErrnoOr<Messages> RouteDump(uint16_t type, uint8_t family) override;

 private:
  HostRoutes routes_;
};

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_INET_HOST_STACK_H_
