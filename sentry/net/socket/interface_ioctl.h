#ifndef CLOISTER_SENTRY_NET_SOCKET_INTERFACE_IOCTL_H_
#define CLOISTER_SENTRY_NET_SOCKET_INTERFACE_IOCTL_H_

#include <cstdint>

#include "base/error/errno_or.h"
#include "sentry/net/socket/stack.h"
#include "sentry/vfs/file_description.h"

namespace cloister::net {

// netdevice(7)'s reading ioctls on any socket: SIOCGIFCONF, SIOCGIFNAME, SIOCGIFINDEX, SIOCGIFFLAGS,
// SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFBRDADDR, SIOCGIFDSTADDR, SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFTXQLEN,
// SIOCGIFMETRIC. Changing ones answer kPerm, others kNotTy.
ErrnoOr<int64_t> InterfaceIoctl(Stack& stack, const vfs::IoctlRequest& request);

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_SOCKET_INTERFACE_IOCTL_H_
