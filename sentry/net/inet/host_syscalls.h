#ifndef CLOISTER_SENTRY_NET_INET_HOST_SYSCALLS_H_
#define CLOISTER_SENTRY_NET_INET_HOST_SYSCALLS_H_

#include <sys/syscall.h>

namespace cloister::net {

// A host syscall that this room makes after the sentry is locked down.
struct HostSyscall {
  long number;
  const char* name;
  const char* reason;
};

// For the sentry's filter with --network=host and none: nothing else in this room calls the host. No
// descriptor that they use comes from a guest, and no address or option that was not checked here.
inline constexpr HostSyscall kHostSyscalls[] = {
    {SYS_socket, "socket", "a guest's internet socket: AF_INET, AF_INET6; SOCK_STREAM, SOCK_DGRAM only"},
    {SYS_bind, "bind", "a guest's local address"},
    {SYS_connect, "connect", "a guest's connection"},
    {SYS_listen, "listen", "a guest's server"},
    {SYS_accept4, "accept4", "a guest's server"},
    {SYS_getsockname, "getsockname", "the port that bind(0) or connect chose"},
    {SYS_getpeername, "getpeername", "the address of an accepted connection"},
    {SYS_getsockopt, "getsockopt", "the options listed in host_options.cc"},
    {SYS_setsockopt, "setsockopt", "the options listed in host_options.cc"},
    {SYS_sendmsg, "sendmsg", "data of guests, and requests on the route socket made at start"},
    {SYS_recvmsg, "recvmsg", "data for guests, and answers on the route socket"},
    {SYS_shutdown, "shutdown", "half-closed connections"},
    {SYS_ioctl, "ioctl", "FIONREAD, SIOCOUTQ and SIOCATMARK on a guest's socket: filter the second argument"},
    {SYS_poll, "poll", "whether a socket is ready now; always with a timeout of 0"},
    {SYS_epoll_ctl, "epoll_ctl", "the poller watches sockets that somebody waits for (sentry/wait)"},
    {SYS_close, "close", "a guest's socket goes"},
};

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_INET_HOST_SYSCALLS_H_
