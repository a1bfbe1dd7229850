#ifndef CLOISTER_SENTRY_SYSCALLS_SOCKET_ARGUMENTS_H_
#define CLOISTER_SENTRY_SYSCALLS_SOCKET_ARGUMENTS_H_

#include <sys/socket.h>

#include <cstdint>
#include <vector>

#include "base/error/errno_or.h"
#include "sentry/net/socket/socket.h"
#include "sentry/task/outcome.h"
#include "sentry/task/task.h"

// What the socket syscalls take from and give to guest memory. Every length is a guest's: checked here.

namespace cloister::syscalls {

// A socket and what keeps it.
struct SocketRef {
  Ref<vfs::FileDescription> file;
  net::Socket* operator->() const { return file->AsSocket(); }
  net::Socket& operator*() const { return *file->AsSocket(); }
};
// kBadf, kNotSock.
ErrnoOr<SocketRef> GetSocket(task::Task& task, int fd);

// Who makes a socket or sends: pid, euid, egid.
ucred OwnCredentials(const task::Task& task);

// kInval for more than a sockaddr_storage or a negative size.
ErrnoOr<net::SocketAddress> CopyInAddress(task::Task& task, uint64_t addr, int size);
// Stores as much of address as the guest has room for and its full size; addr 0: nothing.
ErrnoOrVoid CopyOutAddress(task::Task& task, const net::SocketAddress& address, uint64_t addr,
                           uint64_t size_addr);
// The same where the room is known (msg_namelen).
ErrnoOrVoid CopyOutAddressBytes(task::Task& task, const net::SocketAddress& address, uint64_t addr, int room);

// The control messages of sendmsg(2): files are looked up, credentials checked (kPerm).
ErrnoOr<net::Control> ParseControl(task::Task& task, const net::Socket& socket, uint64_t addr, size_t size);

// What recvmsg(2) puts into the guest's control buffer: files become descriptors.
struct BuiltControl {
  std::vector<std::byte> bytes;
  bool truncated = false;  // MSG_CTRUNC
};
BuiltControl BuildControl(task::Task& task, net::Control control, size_t room, bool cloexec);

// How a socket call waits: SO_RCVTIMEO or SO_SNDTIMEO.
struct SocketWait {
  bool may_block = true;
  wait::MonotonicNs until = wait::kNever;

  static SocketWait For(const net::Socket& socket, int flags, int64_t timeout_ns);
  // Waits on `on`. done: bytes that a signal or the timeout must not lose.
  task::Outcome BlockOn(wait::WaitOn on, size_t done) const;
};

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_SOCKET_ARGUMENTS_H_
