#include "sentry/boot/network.h"

#include <utility>

#include "base/error/status.h"
#include "sentry/net/inet/host_stack.h"
#include "sentry/net/socket/net_namespace.h"

namespace cloister::boot {

absl::Status InstallNetwork() {
  Ref<net::HostStack> stack = TRY_STATUS(net::HostStack::Create());
  net::NetNamespace::Install(MakeRef<net::NetNamespace>(Ref<net::Stack>(std::move(stack))));
  return absl::OkStatus();
}

}  // namespace cloister::boot
