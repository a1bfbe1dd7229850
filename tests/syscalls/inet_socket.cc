#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// ip(7), tcp(7), udp(7) over the loopback device.
namespace cloister::tests {
namespace {

TestFd NewSocket(int type, int family = AF_INET) { return TestFd(socket(family, type | SOCK_CLOEXEC, 0)); }

sockaddr_in Loopback(uint16_t port = 0) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int Bind(const TestFd& fd, uint16_t port) {
  const sockaddr_in address = Loopback(port);
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

int Connect(const TestFd& fd, uint16_t port) {
  const sockaddr_in address = Loopback(port);
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

uint16_t PortOf(const TestFd& fd) {
  sockaddr_in address = {};
  socklen_t length = sizeof address;
  EXPECT_THAT(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), SyscallSucceeds());
  EXPECT_EQ(length, sizeof address);
  return ntohs(address.sin_port);
}

TestFd Listen(int flags = 0) {
  TestFd fd = NewSocket(SOCK_STREAM | flags);
  EXPECT_THAT(Bind(fd, 0), SyscallSucceeds());
  EXPECT_THAT(listen(fd.get(), 16), SyscallSucceeds());
  return fd;
}

int Option(const TestFd& fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  EXPECT_THAT(getsockopt(fd.get(), level, name, &value, &length), SyscallSucceeds());
  return value;
}

int SetOption(const TestFd& fd, int level, int name, int value) {
  return setsockopt(fd.get(), level, name, &value, sizeof value);
}

struct Connection {
  Connection() {
    EXPECT_THAT(Connect(client, PortOf(listener)), SyscallSucceeds());
    server = TestFd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  TestFd listener = Listen();
  TestFd client = NewSocket(SOCK_STREAM);
  TestFd server;
};

short Ready(const TestFd& fd, short events) {
  pollfd entry = {.fd = fd.get(), .events = events, .revents = 0};
  EXPECT_THAT(poll(&entry, 1, 10000), SyscallSucceeds());
  return entry.revents;
}

TEST(Tcp, EchoAndEndOfStream) {
  Connection connection;
  EXPECT_THAT(send(connection.client.get(), "ping", 4, 0), SyscallSucceedsWithValue(4));
  char text[8] = {};
  EXPECT_THAT(recv(connection.server.get(), text, 4, MSG_WAITALL), SyscallSucceedsWithValue(4));
  EXPECT_STREQ(text, "ping");
  EXPECT_THAT(shutdown(connection.client.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_THAT(recv(connection.server.get(), text, 4, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(send(connection.server.get(), "pong", 4, 0), SyscallSucceedsWithValue(4));
  EXPECT_THAT(recv(connection.client.get(), text, 4, MSG_WAITALL), SyscallSucceedsWithValue(4));
  EXPECT_THAT(send(connection.client.get(), "x", 1, MSG_NOSIGNAL), SyscallFailsWithErrno(EPIPE));
}

TEST(Tcp, NamesOfBothEnds) {
  const Connection connection;
  sockaddr_in peer = {};
  socklen_t length = sizeof peer;
  EXPECT_THAT(getpeername(connection.server.get(), reinterpret_cast<sockaddr*>(&peer), &length),
              SyscallSucceeds());
  EXPECT_EQ(ntohs(peer.sin_port), PortOf(connection.client));
  EXPECT_EQ(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
  const TestFd alone = NewSocket(SOCK_STREAM);
  EXPECT_THAT(getpeername(alone.get(), reinterpret_cast<sockaddr*>(&peer), &length),
              SyscallFailsWithErrno(ENOTCONN));
}

TEST(Tcp, Refused) {
  TestFd listener = Listen();
  const uint16_t port = PortOf(listener);
  listener.reset();
  const TestFd client = NewSocket(SOCK_STREAM);
  EXPECT_THAT(Connect(client, port), SyscallFailsWithErrno(ECONNREFUSED));
}

TEST(Tcp, NonblockingConnect) {
  const TestFd listener = Listen();
  const TestFd client = NewSocket(SOCK_STREAM | SOCK_NONBLOCK);
  const int result = Connect(client, PortOf(listener));
  EXPECT_TRUE(result == 0 || errno == EINPROGRESS);
  EXPECT_EQ(Ready(client, POLLOUT), POLLOUT);
  EXPECT_EQ(Option(client, SOL_SOCKET, SO_ERROR), 0);
  EXPECT_EQ(Ready(listener, POLLIN), POLLIN);
  const TestFd served(accept(listener.get(), nullptr, nullptr));
}

TEST(Tcp, NonblockingConnectRefused) {
  TestFd listener = Listen();
  const uint16_t port = PortOf(listener);
  listener.reset();
  const TestFd client = NewSocket(SOCK_STREAM | SOCK_NONBLOCK);
  if (Connect(client, port) != 0 && errno == EINPROGRESS) {
    EXPECT_TRUE(Ready(client, POLLOUT) & POLLERR);
    EXPECT_EQ(Option(client, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  }
}

TEST(Tcp, NonblockingAcceptAndReceive) {
  const TestFd listener = Listen(SOCK_NONBLOCK);
  EXPECT_THAT(accept(listener.get(), nullptr, nullptr), SyscallFailsWithErrno(EAGAIN));
  Connection connection;
  char byte;
  EXPECT_THAT(recv(connection.client.get(), &byte, 1, MSG_DONTWAIT), SyscallFailsWithErrno(EAGAIN));
}

TEST(Tcp, BlockedAcceptIsWoken) {
  const TestFd listener = Listen();
  int accepted = -1;
  ScopedThread server([&] { accepted = accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC); });
  server.tid();
  const TestFd client = NewSocket(SOCK_STREAM);
  EXPECT_THAT(Connect(client, PortOf(listener)), SyscallSucceeds());
  server.Join();
  const TestFd served(accepted);
}

TEST(Tcp, AddressInUse) {
  const TestFd listener = Listen(), other = NewSocket(SOCK_STREAM);
  EXPECT_THAT(Bind(other, PortOf(listener)), SyscallFailsWithErrno(EADDRINUSE));
  EXPECT_THAT(Bind(listener, 0), SyscallFailsWithErrno(EINVAL));
  sockaddr_in foreign = Loopback();
  foreign.sin_addr.s_addr = htonl(0x01020304);
  EXPECT_THAT(bind(other.get(), reinterpret_cast<sockaddr*>(&foreign), sizeof foreign),
              SyscallFailsWithErrno(EADDRNOTAVAIL));
  EXPECT_THAT(bind(other.get(), reinterpret_cast<sockaddr*>(&foreign), 4), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(bind(other.get(), BadPointer<sockaddr>(), sizeof foreign), SyscallFailsWithErrno(EFAULT));
}

TEST(Tcp, Options) {
  const TestFd fd = NewSocket(SOCK_STREAM);
  EXPECT_EQ(Option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(Option(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
  EXPECT_EQ(Option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
  for (const auto& [level, name] : {std::pair{SOL_SOCKET, SO_REUSEADDR},
                                    {SOL_SOCKET, SO_KEEPALIVE},
                                    {SOL_SOCKET, SO_REUSEPORT},
                                    {IPPROTO_TCP, TCP_NODELAY}}) {
    EXPECT_EQ(Option(fd, level, name), 0) << name;
    EXPECT_THAT(SetOption(fd, level, name, 1), SyscallSucceeds());
    EXPECT_EQ(Option(fd, level, name), 1) << name;
  }
  EXPECT_THAT(SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77), SyscallSucceeds());
  EXPECT_EQ(Option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
  EXPECT_THAT(SetOption(fd, IPPROTO_TCP, 9999, 1), SyscallFailsWithErrno(ENOPROTOOPT));
  EXPECT_THAT(setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, BadPointer(), 4), SyscallFailsWithErrno(EFAULT));
  const linger wait = {.l_onoff = 1, .l_linger = 3};
  EXPECT_THAT(setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &wait, sizeof wait), SyscallSucceeds());
  EXPECT_EQ(Option(Listen(), SOL_SOCKET, SO_ACCEPTCONN), 1);
}

TEST(Tcp, LargeTransferBetweenProcesses) {
  Connection connection;
  std::string big(4 << 20, 0);
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 13 + i / 997);
  Child writer([&] {
    connection.server.reset();
    CHILD_CHECK(WriteAll(connection.client.get(), big));
  });
  connection.client.reset();
  EXPECT_TRUE(ReadAll(connection.server.get()) == big);
  EXPECT_THAT(writer.Wait(), ExitedWith(0));
}

TEST(Tcp, ResetByLinger) {
  Connection connection;
  const linger now = {.l_onoff = 1, .l_linger = 0};
  ASSERT_THAT(setsockopt(connection.client.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now),
              SyscallSucceeds());
  connection.client.reset();
  char byte;
  EXPECT_TRUE(Ready(connection.server, POLLIN) & POLLERR);
  EXPECT_THAT(recv(connection.server.get(), &byte, 1, 0), SyscallFailsWithErrno(ECONNRESET));
}

TEST(Tcp, EpollSeesDataAndHangup) {
  Connection connection;
  const TestFd epoll(epoll_create1(0));
  epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data = {}};
  ASSERT_THAT(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, connection.server.get(), &event), SyscallSucceeds());
  EXPECT_THAT(epoll_wait(epoll.get(), &event, 1, 0), SyscallSucceedsWithValue(0));
  ASSERT_THAT(send(connection.client.get(), "x", 1, 0), SyscallSucceeds());
  EXPECT_THAT(epoll_wait(epoll.get(), &event, 1, 10000), SyscallSucceedsWithValue(1));
  EXPECT_EQ(event.events, uint32_t{EPOLLIN});
  int waiting = 0;
  EXPECT_THAT(ioctl(connection.server.get(), FIONREAD, &waiting), SyscallSucceeds());
  EXPECT_EQ(waiting, 1);
  connection.client.reset();
  EXPECT_TRUE(Ready(connection.server, POLLRDHUP) & POLLRDHUP);
}

TEST(Tcp, EpollTellsEdgesAfterAConnectionThatWasReadyAtOnce) {
  Connection connection;
  ASSERT_THAT(send(connection.client.get(), "x", 1, 0), SyscallSucceeds());
  ASSERT_EQ(Ready(connection.server, POLLIN), POLLIN);
  const TestFd epoll(epoll_create1(0));
  epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data = {}};
  ASSERT_THAT(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, connection.server.get(), &event), SyscallSucceeds());
  ASSERT_THAT(epoll_wait(epoll.get(), &event, 1, 10000), SyscallSucceedsWithValue(1));
  char byte;
  ASSERT_THAT(recv(connection.server.get(), &byte, 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_THAT(epoll_wait(epoll.get(), &event, 1, 0), SyscallSucceedsWithValue(0));
  ASSERT_THAT(send(connection.client.get(), "y", 1, 0), SyscallSucceeds());
  EXPECT_THAT(epoll_wait(epoll.get(), &event, 1, 10000), SyscallSucceedsWithValue(1));
}

TEST(Tcp, WhatEpollCallsReadableCanBeRead) {
  Connection connection;
  std::thread echo([&connection] {
    char byte;
    while (recv(connection.server.get(), &byte, 1, 0) == 1)
      send(connection.server.get(), &byte, 1, MSG_NOSIGNAL);
  });
  const TestFd epoll(epoll_create1(0));
  epoll_event event = {.events = EPOLLIN, .data = {}};
  ASSERT_THAT(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, connection.client.get(), &event), SyscallSucceeds());
  for (int i = 0; i < 3000; ++i) {
    char byte = 'x';
    EXPECT_THAT(send(connection.client.get(), &byte, 1, 0), SyscallSucceedsWithValue(1));
    EXPECT_THAT(epoll_wait(epoll.get(), &event, 1, 10000), SyscallSucceedsWithValue(1));
    EXPECT_THAT(recv(connection.client.get(), &byte, 1, MSG_DONTWAIT), SyscallSucceedsWithValue(1)) << i;
  }
  connection.client.reset();
  echo.join();
}

TEST(Udp, DatagramsBetweenSockets) {
  const TestFd a = NewSocket(SOCK_DGRAM), b = NewSocket(SOCK_DGRAM);
  ASSERT_THAT(Bind(a, 0), SyscallSucceeds());
  const sockaddr_in to = Loopback(PortOf(a));
  EXPECT_THAT(sendto(b.get(), "datagram", 8, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to),
              SyscallSucceedsWithValue(8));
  char text[16];
  sockaddr_in from = {};
  socklen_t length = sizeof from;
  EXPECT_THAT(recvfrom(a.get(), text, 4, MSG_TRUNC, reinterpret_cast<sockaddr*>(&from), &length),
              SyscallSucceedsWithValue(8));
  EXPECT_EQ(ntohs(from.sin_port), PortOf(b));
  EXPECT_THAT(recv(a.get(), text, 4, MSG_DONTWAIT), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(send(b.get(), "x", 1, 0), SyscallFailsWithErrno(EDESTADDRREQ));
}

TEST(Udp, ConnectedSocketsHearOnlyTheirPeer) {
  const TestFd a = NewSocket(SOCK_DGRAM), b = NewSocket(SOCK_DGRAM), stranger = NewSocket(SOCK_DGRAM);
  ASSERT_THAT(Bind(a, 0), SyscallSucceeds());
  ASSERT_THAT(Bind(b, 0), SyscallSucceeds());
  ASSERT_THAT(Connect(a, PortOf(b)), SyscallSucceeds());
  ASSERT_THAT(Connect(b, PortOf(a)), SyscallSucceeds());
  ASSERT_THAT(Connect(stranger, PortOf(a)), SyscallSucceeds());
  EXPECT_THAT(send(stranger.get(), "no", 2, 0), SyscallSucceeds());
  EXPECT_THAT(send(b.get(), "yes", 3, 0), SyscallSucceeds());
  char text[8] = {};
  EXPECT_THAT(recv(a.get(), text, sizeof text, 0), SyscallSucceedsWithValue(3));
  EXPECT_STREQ(text, "yes");
}

TEST(Udp, NobodyListens) {
  TestFd gone = NewSocket(SOCK_DGRAM);
  const TestFd fd = NewSocket(SOCK_DGRAM);
  ASSERT_THAT(Bind(gone, 0), SyscallSucceeds());
  ASSERT_THAT(Connect(fd, PortOf(gone)), SyscallSucceeds());
  gone.reset();
  EXPECT_THAT(send(fd.get(), "x", 1, 0), SyscallSucceeds());
  char byte;
  EXPECT_THAT(recv(fd.get(), &byte, 1, 0), SyscallFailsWithErrno(ECONNREFUSED));
}

TEST(Inet6, Loopback) {
  const int probe = socket(AF_INET6, SOCK_STREAM, 0);
  if (probe < 0) GTEST_SKIP() << "no IPv6";
  const TestFd listener(probe);
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_addr = IN6ADDR_LOOPBACK_INIT;
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    GTEST_SKIP() << "no ::1";
  ASSERT_THAT(listen(listener.get(), 1), SyscallSucceeds());
  socklen_t length = sizeof address;
  ASSERT_THAT(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length), SyscallSucceeds());
  const TestFd client = NewSocket(SOCK_STREAM, AF_INET6);
  EXPECT_THAT(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address),
              SyscallSucceeds());
}

TEST(Netlink, TellsOfTheLoopbackDeviceAndItsAddress) {
  ifaddrs* all = nullptr;
  ASSERT_THAT(getifaddrs(&all), SyscallSucceeds());
  bool found = false;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    const auto* address = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
    if (address->sin_addr.s_addr != htonl(INADDR_LOOPBACK)) continue;
    found = true;
    EXPECT_TRUE(one->ifa_flags & IFF_LOOPBACK);
    EXPECT_TRUE(one->ifa_flags & IFF_UP);
    EXPECT_EQ(if_nametoindex(one->ifa_name), 1u);
  }
  freeifaddrs(all);
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace cloister::tests
