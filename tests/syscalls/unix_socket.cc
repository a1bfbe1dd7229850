#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// unix(7): streams, datagrams, sequenced packets, names.
namespace cloister::tests {
namespace {

struct Pair {
  explicit Pair(int type) {
    int ends[2] = {-1, -1};
    EXPECT_THAT(socketpair(AF_UNIX, type, 0, ends), SyscallSucceeds());
    a = TestFd(ends[0]);
    b = TestFd(ends[1]);
  }
  TestFd a, b;
};

struct Address {
  // A leading zero byte makes the name an abstract one.
  explicit Address(const std::string& name) {
    memcpy(address.sun_path, name.data(), name.size());
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (name[0] == 0 ? 0 : 1));
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  socklen_t length;
};

TestFd NewSocket(int type) { return TestFd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0)); }
int Bind(const TestFd& fd, const Address& to) { return bind(fd.get(), to.get(), to.length); }
int Connect(const TestFd& fd, const Address& to) { return connect(fd.get(), to.get(), to.length); }

std::string Take(const TestFd& fd, size_t most = 1000, int flags = MSG_DONTWAIT) {
  std::string text(most, 0);
  const ssize_t got = recv(fd.get(), text.data(), most, flags);
  EXPECT_THAT(got, SyscallSucceeds());
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return text;
}

ssize_t Put(const TestFd& fd, const std::string& text, int flags = MSG_NOSIGNAL) {
  return send(fd.get(), text.data(), text.size(), flags);
}

std::string Abstract(const char* name) {
  return std::string(1, '\0') + "cloister." + std::to_string(getpid()) + "." + name;
}

TEST(UnixStream, BytesBothWays) {
  const Pair pair(SOCK_STREAM);
  EXPECT_THAT(Put(pair.a, "abc"), SyscallSucceedsWithValue(3));
  EXPECT_THAT(Put(pair.a, "def"), SyscallSucceedsWithValue(3));
  EXPECT_THAT(Put(pair.b, "back"), SyscallSucceedsWithValue(4));
  EXPECT_EQ(Take(pair.b, 4), "abcd");
  EXPECT_EQ(Take(pair.b), "ef");
  EXPECT_EQ(Take(pair.a), "back");
}

TEST(UnixStream, Flags) {
  const Pair pair(SOCK_STREAM);
  char byte;
  EXPECT_THAT(recv(pair.a.get(), &byte, 1, MSG_DONTWAIT), SyscallFailsWithErrno(EAGAIN));
  ASSERT_THAT(Put(pair.b, "peek"), SyscallSucceeds());
  EXPECT_EQ(Take(pair.a, 2, MSG_PEEK), "pe");
  int waiting = 0;
  EXPECT_THAT(ioctl(pair.a.get(), FIONREAD, &waiting), SyscallSucceeds());
  EXPECT_EQ(waiting, 4);
  EXPECT_EQ(Take(pair.a), "peek");
  ScopedThread writer([&] {
    EXPECT_EQ(Put(pair.b, "12"), 2);
    EXPECT_EQ(Put(pair.b, "345"), 3);
  });
  EXPECT_EQ(Take(pair.a, 5, MSG_WAITALL), "12345");
}

TEST(UnixStream, Shutdown) {
  const Pair pair(SOCK_STREAM);
  EXPECT_THAT(shutdown(pair.a.get(), SHUT_WR), SyscallSucceeds());
  EXPECT_EQ(Take(pair.b), "");
  EXPECT_THAT(Put(pair.a, "x"), SyscallFailsWithErrno(EPIPE));
  EXPECT_THAT(Put(pair.b, "still"), SyscallSucceedsWithValue(5));
  EXPECT_EQ(Take(pair.a), "still");
  EXPECT_THAT(shutdown(pair.a.get(), 5), SyscallFailsWithErrno(EINVAL));
}

TEST(UnixStream, PeerHasGone) {
  Pair pair(SOCK_STREAM);
  ASSERT_THAT(Put(pair.b, "last"), SyscallSucceeds());
  pair.b.reset();
  EXPECT_EQ(Take(pair.a), "last");
  EXPECT_EQ(Take(pair.a), "");
  EXPECT_THAT(Put(pair.a, "x"), SyscallFailsWithErrno(EPIPE));
  EXPECT_THAT(InChild([&] {
                signal(SIGPIPE, SIG_DFL);
                send(pair.a.get(), "x", 1, 0);
              }),
              KilledBy(SIGPIPE));
}

TEST(UnixStream, UnreadDataResetsThePeer) {
  Pair pair(SOCK_STREAM);
  ASSERT_THAT(Put(pair.a, "never read"), SyscallSucceeds());
  pair.b.reset();
  char byte;
  EXPECT_THAT(read(pair.a.get(), &byte, 1), SyscallFailsWithErrno(ECONNRESET));
}

TEST(UnixStream, ListenConnectAccept) {
  const TempDir dir;
  const Address name(dir.File("s"));
  const TestFd server = NewSocket(SOCK_STREAM), client = NewSocket(SOCK_STREAM);
  EXPECT_THAT(Connect(client, name), SyscallFailsWithErrno(ENOENT));
  ASSERT_THAT(Bind(server, name), SyscallSucceeds());
  EXPECT_THAT(Connect(client, name), SyscallFailsWithErrno(ECONNREFUSED));
  ASSERT_THAT(listen(server.get(), 1), SyscallSucceeds());
  ASSERT_THAT(Connect(client, name), SyscallSucceeds());
  EXPECT_THAT(Connect(client, name), SyscallFailsWithErrno(EISCONN));
  sockaddr_un peer;
  socklen_t length = sizeof peer;
  const TestFd served(
      accept4(server.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
  EXPECT_EQ(length, sizeof(sa_family_t));  // the client has no name
  EXPECT_THAT(fcntl(served.get(), F_GETFL), SyscallSucceedsWithValue(O_RDWR | O_NONBLOCK));
  ASSERT_THAT(Put(client, "hello"), SyscallSucceeds());
  EXPECT_EQ(Take(served), "hello");
  length = sizeof peer;
  EXPECT_THAT(getpeername(client.get(), reinterpret_cast<sockaddr*>(&peer), &length), SyscallSucceeds());
  EXPECT_EQ(peer.sun_path, dir.File("s"));
  struct stat info;
  ASSERT_THAT(stat(dir.File("s").c_str(), &info), SyscallSucceeds());
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
}

TEST(UnixStream, NamesInUseAndWrong) {
  const TempDir dir;
  const TestFd a = NewSocket(SOCK_STREAM), b = NewSocket(SOCK_STREAM);
  ASSERT_THAT(Bind(a, Address(dir.File("s"))), SyscallSucceeds());
  EXPECT_THAT(Bind(b, Address(dir.File("s"))), SyscallFailsWithErrno(EADDRINUSE));
  EXPECT_THAT(Bind(a, Address(dir.File("t"))), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Bind(b, Address(dir.File("none/s"))), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(open(dir.File("s").c_str(), O_RDWR), SyscallFailsWithErrno(ENXIO));
  Address wrong(dir.File("u"));
  wrong.address.sun_family = AF_INET;
  EXPECT_THAT(Bind(b, wrong), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(bind(b.get(), BadPointer<sockaddr>(), sizeof(sockaddr_un)), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Connect(b, Address(dir.WithFile("plain"))), SyscallFailsWithErrno(ECONNREFUSED));
}

TEST(UnixStream, NameMovesWithItsFile) {
  const TempDir dir;
  const TestFd server = NewSocket(SOCK_STREAM), client = NewSocket(SOCK_STREAM);
  ASSERT_THAT(Bind(server, Address(dir.File("s"))), SyscallSucceeds());
  ASSERT_THAT(listen(server.get(), 5), SyscallSucceeds());
  ASSERT_THAT(rename(dir.File("s").c_str(), dir.File("t").c_str()), SyscallSucceeds());
  EXPECT_THAT(Connect(client, Address(dir.File("s"))), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Connect(client, Address(dir.File("t"))), SyscallSucceeds());
}

TEST(UnixStream, AbstractNames) {
  const Address name(Abstract("a"));
  TestFd server = NewSocket(SOCK_STREAM);
  const TestFd client = NewSocket(SOCK_STREAM), late = NewSocket(SOCK_STREAM);
  ASSERT_THAT(Bind(server, name), SyscallSucceeds());
  ASSERT_THAT(listen(server.get(), 5), SyscallSucceeds());
  EXPECT_THAT(Connect(client, name), SyscallSucceeds());
  sockaddr_un own;
  socklen_t length = sizeof own;
  EXPECT_THAT(getsockname(server.get(), reinterpret_cast<sockaddr*>(&own), &length), SyscallSucceeds());
  EXPECT_EQ(length, name.length);
  server.reset();
  EXPECT_THAT(Connect(late, name), SyscallFailsWithErrno(ECONNREFUSED));
}

TEST(UnixStream, AutobindGivesAName) {
  const TestFd fd = NewSocket(SOCK_STREAM);
  const sa_family_t family = AF_UNIX;
  ASSERT_THAT(bind(fd.get(), reinterpret_cast<const sockaddr*>(&family), sizeof family), SyscallSucceeds());
  sockaddr_un own;
  socklen_t length = sizeof own;
  ASSERT_THAT(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &length), SyscallSucceeds());
  EXPECT_EQ(length, sizeof(sa_family_t) + 6);
  EXPECT_EQ(own.sun_path[0], 0);
}

TEST(UnixStream, BacklogAndNonblocking) {
  const Address name(Abstract("backlog"));
  const TestFd server = NewSocket(SOCK_STREAM | SOCK_NONBLOCK);
  ASSERT_THAT(Bind(server, name), SyscallSucceeds());
  EXPECT_THAT(accept(server.get(), nullptr, nullptr), SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(listen(server.get(), 0), SyscallSucceeds());
  EXPECT_THAT(accept(server.get(), nullptr, nullptr), SyscallFailsWithErrno(EAGAIN));
  const TestFd one = NewSocket(SOCK_STREAM | SOCK_NONBLOCK), two = NewSocket(SOCK_STREAM | SOCK_NONBLOCK);
  EXPECT_THAT(Connect(one, name), SyscallSucceeds());
  EXPECT_THAT(Connect(two, name), SyscallFailsWithErrno(EAGAIN));
  pollfd entry = {.fd = server.get(), .events = POLLIN, .revents = 0};
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(1));
  const TestFd served(accept(server.get(), nullptr, nullptr));
  EXPECT_THAT(Connect(two, name), SyscallSucceeds());
}

TEST(UnixStream, LargeTransfer) {
  Pair pair(SOCK_STREAM);
  const std::string big(3 << 20, 'q');
  Child writer([&] {
    pair.b.reset();
    CHILD_CHECK(WriteAll(pair.a.get(), big));
  });
  pair.a.reset();
  EXPECT_TRUE(ReadAll(pair.b.get()) == big);
  EXPECT_THAT(writer.Wait(), ExitedWith(0));
}

TEST(UnixDatagram, KeepsBoundaries) {
  const Pair pair(SOCK_DGRAM);
  EXPECT_THAT(Put(pair.a, "first"), SyscallSucceedsWithValue(5));
  EXPECT_THAT(Put(pair.a, ""), SyscallSucceedsWithValue(0));
  EXPECT_THAT(Put(pair.a, "third"), SyscallSucceedsWithValue(5));
  EXPECT_EQ(Take(pair.b), "first");
  EXPECT_EQ(Take(pair.b), "");
  char text[2];
  EXPECT_THAT(recv(pair.b.get(), text, 2, MSG_TRUNC), SyscallSucceedsWithValue(5));
  EXPECT_THAT(recv(pair.b.get(), text, 2, MSG_DONTWAIT), SyscallFailsWithErrno(EAGAIN));
}

TEST(UnixDatagram, SenderIsNamed) {
  const Address server_name(Abstract("dgram")), client_name(Abstract("client"));
  const TestFd server = NewSocket(SOCK_DGRAM), client = NewSocket(SOCK_DGRAM);
  ASSERT_THAT(Bind(server, server_name), SyscallSucceeds());
  ASSERT_THAT(Bind(client, client_name), SyscallSucceeds());
  EXPECT_THAT(sendto(client.get(), "hi", 2, 0, server_name.get(), server_name.length),
              SyscallSucceedsWithValue(2));
  char text[8];
  sockaddr_un from;
  socklen_t length = sizeof from;
  EXPECT_THAT(recvfrom(server.get(), text, sizeof text, 0, reinterpret_cast<sockaddr*>(&from), &length),
              SyscallSucceedsWithValue(2));
  EXPECT_EQ(length, client_name.length);
  EXPECT_EQ(memcmp(&from, &client_name.address, length), 0);
  EXPECT_THAT(send(client.get(), "x", 1, 0), SyscallFailsWithErrno(ENOTCONN));
}

TEST(UnixDatagram, TooLarge) {
  const Pair pair(SOCK_DGRAM);
  int size = 0;
  socklen_t length = sizeof size;
  ASSERT_THAT(getsockopt(pair.a.get(), SOL_SOCKET, SO_SNDBUF, &size, &length), SyscallSucceeds());
  EXPECT_THAT(Put(pair.a, std::string(static_cast<size_t>(size) + 1, 'x')), SyscallFailsWithErrno(EMSGSIZE));
}

TEST(UnixSeqpacket, ConnectedAndWithBoundaries) {
  Pair pair(SOCK_SEQPACKET);
  EXPECT_THAT(Put(pair.a, "one"), SyscallSucceedsWithValue(3));
  EXPECT_THAT(Put(pair.a, "two!"), SyscallSucceedsWithValue(4));
  EXPECT_EQ(Take(pair.b), "one");
  EXPECT_EQ(Take(pair.b, 2), "tw");
  pair.a.reset();
  EXPECT_EQ(Take(pair.b), "");
}

TEST(UnixOptions, KindAndBuffers) {
  const TestFd fd = NewSocket(SOCK_STREAM);
  const auto option = [&](int name) {
    int value = -1;
    socklen_t length = sizeof value;
    EXPECT_THAT(getsockopt(fd.get(), SOL_SOCKET, name, &value, &length), SyscallSucceeds());
    return value;
  };
  EXPECT_EQ(option(SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(option(SO_DOMAIN), AF_UNIX);
  EXPECT_EQ(option(SO_PROTOCOL), 0);
  EXPECT_EQ(option(SO_ERROR), 0);
  EXPECT_EQ(option(SO_ACCEPTCONN), 0);
  const int size = 20000;
  EXPECT_THAT(setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size), SyscallSucceeds());
  EXPECT_EQ(option(SO_SNDBUF), 2 * size);
  int value = 0;
  socklen_t length = sizeof value;
  EXPECT_THAT(getsockopt(fd.get(), SOL_SOCKET, 9999, &value, &length), SyscallFailsWithErrno(ENOPROTOOPT));
  EXPECT_THAT(getsockopt(fd.get(), 9999, 1, &value, &length), SyscallFailsWithErrno(EOPNOTSUPP));
  const Pipe pipe;
  EXPECT_THAT(getsockopt(pipe.read.get(), SOL_SOCKET, SO_TYPE, &value, &length),
              SyscallFailsWithErrno(ENOTSOCK));
  EXPECT_THAT(socket(AF_UNIX, 77, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(socket(AF_UNIX, SOCK_STREAM, 7), SyscallFailsWithErrno(EPROTONOSUPPORT));
  EXPECT_THAT(socket(999, SOCK_STREAM, 0), SyscallFailsWithErrno(EAFNOSUPPORT));
}

TEST(UnixOptions, ReceiveTimeout) {
  const Pair pair(SOCK_STREAM);
  const timeval timeout = {.tv_sec = 0, .tv_usec = 5000};
  ASSERT_THAT(setsockopt(pair.a.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout), SyscallSucceeds());
  char byte;
  const int64_t start = Now();
  EXPECT_THAT(recv(pair.a.get(), &byte, 1, 0), SyscallFailsWithErrno(EAGAIN));
  EXPECT_GE(Now() - start, 5 * kMillisecond);
}

TEST(UnixOptions, PeerCredentials) {
  const Pair pair(SOCK_STREAM);
  ucred credentials = {};
  socklen_t length = sizeof credentials;
  EXPECT_THAT(getsockopt(pair.a.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length), SyscallSucceeds());
  EXPECT_EQ(credentials.pid, getpid());
  EXPECT_EQ(credentials.uid, getuid());
  EXPECT_EQ(credentials.gid, getgid());
}

}  // namespace
}  // namespace cloister::tests
