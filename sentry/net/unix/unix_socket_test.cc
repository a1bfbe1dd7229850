#include "sentry/net/unix/unix_socket.h"

#include <sys/un.h>

#include <string>
#include <string_view>
#include <thread>

#include "gtest/gtest.h"

namespace cloister::net {
namespace {

class UnixSocketTest : public ::testing::Test {
 protected:
  using Pair = std::pair<Ref<Socket>, Ref<Socket>>;

  SocketRequest Request(int type) {
    return {.domain = AF_UNIX, .type = type, .cred = auth::Credentials::Root(), .owner = {42, 1000, 100}};
  }
  Pair NewPair(int type) { return *MakeUnixPair(Request(type), net_); }
  Ref<Socket> New(int type) { return *MakeUnixSocket(Request(type), net_); }
  static SocketAddress Abstract(std::string_view name) {
    sockaddr_un un = {};
    un.sun_family = AF_UNIX;
    memcpy(un.sun_path + 1, name.data(), name.size());
    return *SocketAddress::From(std::as_bytes(std::span(&un, 1)).first(3 + name.size()));
  }
  ErrnoOr<size_t> Send(Socket& socket, std::string_view text, SendRequest request = {}) {
    if (request.sender.pid == 0) request.sender = {7, 8, 9};
    request.caller = &caller_;
    UserBuffer src = UserBuffer::KernelConst(std::as_bytes(std::span(text)));
    return socket.Send(src, request);
  }
  // The text that arrived, or the errno's name.
  static std::string Receive(Socket& socket, size_t size, int flags = 0, Received* received = nullptr) {
    Received own;
    std::string text(size, '\0');
    UserBuffer dst = UserBuffer::Kernel(std::as_writable_bytes(std::span(text)));
    const ErrnoOr<size_t> got = socket.Receive(dst, flags, received != nullptr ? received : &own);
    if (!got.ok()) return std::string(ErrnoName(got.error()));
    text.resize(*got);
    return text;
  }
  static SendRequest WithFile(Ref<vfs::FileDescription> file) {
    SendRequest request;
    request.control.files.push_back(std::move(file));
    return request;
  }
  // A listener with this name.
  Ref<Socket> Listener(int type, std::string_view name, int backlog) {
    Ref<Socket> socket = New(type);
    EXPECT_TRUE(socket->Bind(Abstract(name), caller_).ok());
    EXPECT_TRUE(socket->Listen(backlog).ok());
    return socket;
  }

  Ref<NetNamespace> net_ = MakeRef<NetNamespace>(nullptr);
  vfs::Caller caller_ = {.cred = auth::Credentials::Root(), .thread_group = 5};
};

TEST_F(UnixSocketTest, StreamJoinsAndSplitsWrites) {
  auto [a, b] = NewPair(SOCK_STREAM);
  EXPECT_EQ(Receive(*b, 9), "EAGAIN");
  EXPECT_EQ(*Send(*a, "one"), 3u);
  EXPECT_EQ(*Send(*a, "two"), 3u);
  EXPECT_EQ(b->Ready(), Poll::kIn | Poll::kOut);
  EXPECT_EQ(Receive(*b, 4, MSG_PEEK), "onet");
  EXPECT_EQ(Receive(*b, 4), "onet");
  EXPECT_EQ(Receive(*b, 9), "wo");
  EXPECT_EQ(b->Ready(), Poll::kOut);
}

TEST_F(UnixSocketTest, MessagesKeepTheirBorders) {
  for (const int type : {SOCK_DGRAM, SOCK_SEQPACKET}) {
    auto [a, b] = NewPair(type);
    EXPECT_EQ(*Send(*a, "first"), 5u);
    EXPECT_EQ(*Send(*a, ""), 0u);
    EXPECT_EQ(*Send(*a, "last"), 4u);
    Received received;
    EXPECT_EQ(Receive(*b, 2, 0, &received), "fi");
    EXPECT_TRUE(received.flags & MSG_TRUNC);
    EXPECT_EQ(received.full_length, 5u);
    EXPECT_EQ(Receive(*b, 9), "");
    EXPECT_EQ(Receive(*b, 9), "last");
  }
}

TEST_F(UnixSocketTest, AFullStreamTakesMoreOnceThereIsRoom) {
  auto [a, b] = NewPair(SOCK_STREAM);
  const std::string block(50000, 'x');
  size_t sent = 0;
  for (;;) {
    const ErrnoOr<size_t> put = Send(*a, block);
    if (!put.ok()) {
      EXPECT_EQ(put.error(), Errno::kAgain);
      break;
    }
    sent += *put;
  }
  EXPECT_FALSE(a->Ready().Any(Poll::kOut));
  while (sent > 0) {
    const std::string got = Receive(*b, 30000);
    ASSERT_NE(got, "EAGAIN");
    sent -= got.size();
  }
  EXPECT_TRUE(a->Ready().Any(Poll::kOut));
  EXPECT_TRUE(Send(*a, "x").ok());
}

TEST_F(UnixSocketTest, AMessageTooLargeIsRefused) {
  auto [a, b] = NewPair(SOCK_DGRAM);
  EXPECT_EQ(Send(*a, std::string(kDefaultBuffer, 'x')).error(), Errno::kMsgSize);
  EXPECT_TRUE(Send(*a, std::string(kDefaultBuffer - 32, 'x')).ok());
}

TEST_F(UnixSocketTest, ShutdownAndClose) {
  auto [a, b] = NewPair(SOCK_STREAM);
  ASSERT_TRUE(Send(*a, "tail").ok());
  ASSERT_TRUE(a->Shutdown(SHUT_WR).ok());
  EXPECT_EQ(Send(*a, "x").error(), Errno::kPipe);
  EXPECT_EQ(Receive(*b, 9), "tail");
  EXPECT_EQ(Receive(*b, 9), "");
  EXPECT_EQ(b->Ready(), Poll::kIn | Poll::kRdHup | Poll::kOut);
  ASSERT_TRUE(Send(*b, "back").ok());
  EXPECT_EQ(Receive(*a, 9), "back");
  b.reset();
  EXPECT_EQ(Receive(*a, 9), "");
  EXPECT_TRUE(a->Ready().Any(Poll::kHup));
}

TEST_F(UnixSocketTest, ClosingWithUnreadBytesResetsThePeer) {
  auto [a, b] = NewPair(SOCK_STREAM);
  ASSERT_TRUE(Send(*a, "unread").ok());
  b.reset();
  EXPECT_TRUE(a->Ready().Any(Poll::kErr));
  EXPECT_EQ(Receive(*a, 9), "ECONNRESET");
  EXPECT_EQ(Receive(*a, 9), "");
  EXPECT_EQ(Send(*a, "x").error(), Errno::kPipe);
}

TEST_F(UnixSocketTest, ConnectsThroughAnAbstractName) {
  Ref<Socket> server = Listener(SOCK_STREAM, "srv", 1);
  Ref<Socket> client = New(SOCK_STREAM);
  EXPECT_EQ(server->Accept(0).error(), Errno::kAgain);
  EXPECT_EQ(client->Ready(), Poll::kOut | Poll::kHup);
  ASSERT_TRUE(client->Connect(Abstract("srv"), caller_).ok());
  EXPECT_EQ(client->Connect(Abstract("srv"), caller_).error(), Errno::kIsConn);
  ASSERT_TRUE(Send(*client, "early").ok());
  EXPECT_EQ(server->Ready(), Poll::kIn);
  ErrnoOr<Ref<Socket>> accepted = server->Accept(O_NONBLOCK);
  ASSERT_TRUE(accepted.ok());
  EXPECT_TRUE((*accepted)->nonblocking());
  EXPECT_EQ(Receive(**accepted, 9), "early");
  EXPECT_EQ(client->GetPeerName()->size(), 6u);
  EXPECT_EQ((*accepted)->GetSockName()->size(), 6u);
  EXPECT_EQ((*accepted)->GetPeerName()->size(), 2u);
  EXPECT_EQ(FromOption<ucred>(*(*accepted)->GetOption(SOL_SOCKET, SO_PEERCRED, 12))->pid, 5);
  EXPECT_EQ(FromOption<ucred>(*client->GetOption(SOL_SOCKET, SO_PEERCRED, 12))->pid, 42);
}

TEST_F(UnixSocketTest, AFullBacklogMakesConnectWait) {
  Ref<Socket> server = Listener(SOCK_STREAM, "busy", 0);
  Ref<Socket> first = New(SOCK_STREAM), second = New(SOCK_STREAM);
  ASSERT_TRUE(first->Connect(Abstract("busy"), caller_).ok());
  EXPECT_EQ(second->Connect(Abstract("busy"), caller_).error(), Errno::kAgain);
  EXPECT_EQ(second->connect_wait().queue, server->wait_queue());
  ASSERT_TRUE(server->Accept(0).ok());
  EXPECT_TRUE(second->Connect(Abstract("busy"), caller_).ok());
  server.reset();  // never accepted
  EXPECT_EQ(Receive(*second, 1), "ECONNRESET");
  EXPECT_EQ(New(SOCK_STREAM)->Connect(Abstract("busy"), caller_).error(), Errno::kConnRefused);
}

TEST_F(UnixSocketTest, NamesAreTakenAndFreed) {
  Ref<Socket> one = New(SOCK_DGRAM);
  ASSERT_TRUE(one->Bind(Abstract("name"), caller_).ok());
  EXPECT_EQ(one->Bind(Abstract("other"), caller_).error(), Errno::kInval);
  EXPECT_EQ(New(SOCK_DGRAM)->Bind(Abstract("name"), caller_).error(), Errno::kAddrInUse);
  EXPECT_EQ(New(SOCK_STREAM)->Connect(Abstract("name"), caller_).error(), Errno::kPrototype);
  one.reset();
  Ref<Socket> two = New(SOCK_DGRAM);
  EXPECT_TRUE(two->Bind(Abstract("name"), caller_).ok());
  Ref<Socket> any = New(SOCK_DGRAM);
  ASSERT_TRUE(any->Bind(SocketAddress::Of(sa_family_t{AF_UNIX}), caller_).ok());
  EXPECT_EQ(any->GetSockName()->size(), 8u);
}

TEST_F(UnixSocketTest, HostileAddressesAreRefused) {
  Ref<Socket> socket = New(SOCK_STREAM);
  const std::string junk(129, '\xff');
  const auto bytes = std::as_bytes(std::span(junk));
  EXPECT_EQ(socket->Bind(*SocketAddress::From(bytes.first(128)), caller_).error(), Errno::kInval);
  EXPECT_EQ(socket->Bind(SocketAddress(), caller_).error(), Errno::kInval);
  EXPECT_EQ(socket->Connect(*SocketAddress::From(bytes.first(1)), caller_).error(), Errno::kInval);
  EXPECT_EQ(socket->Connect(SocketAddress::Of(sa_family_t{AF_UNIX}), caller_).error(), Errno::kInval);
  EXPECT_FALSE(SocketAddress::From(bytes).ok());
}

TEST_F(UnixSocketTest, DatagramsCarryTheirSender) {
  Ref<Socket> server = New(SOCK_DGRAM), client = New(SOCK_DGRAM);
  ASSERT_TRUE(server->Bind(Abstract("log"), caller_).ok());
  SendRequest request;
  request.to = Abstract("log");
  EXPECT_EQ(Send(*client, "x").error(), Errno::kNotConn);
  ASSERT_TRUE(Send(*client, "anonymous", request).ok());
  ASSERT_TRUE(client->Bind(Abstract("cl"), caller_).ok());
  ASSERT_TRUE(client->Connect(Abstract("log"), caller_).ok());
  ASSERT_TRUE(Send(*client, "named").ok());
  Received received;
  EXPECT_EQ(Receive(*server, 20, 0, &received), "anonymous");
  EXPECT_TRUE(received.from.empty());
  EXPECT_EQ(Receive(*server, 20, 0, &received), "named");
  EXPECT_EQ(received.from.size(), 5u);
  server.reset();
  EXPECT_EQ(Send(*client, "x").error(), Errno::kConnRefused);
  EXPECT_EQ(Send(*client, "x").error(), Errno::kNotConn);
}

TEST_F(UnixSocketTest, CredentialsComeOnlyIfAskedFor) {
  auto [a, b] = NewPair(SOCK_STREAM);
  Received received;
  ASSERT_TRUE(Send(*a, "x").ok());
  EXPECT_EQ(Receive(*b, 1, 0, &received), "x");
  EXPECT_FALSE(received.control.credentials.has_value());
  ASSERT_TRUE(b->SetOption(SOL_SOCKET, SO_PASSCRED, ToOption(1)).ok());
  ASSERT_TRUE(Send(*a, "one").ok());
  SendRequest other;
  other.sender = {99, 1, 1};
  ASSERT_TRUE(Send(*a, "two", other).ok());
  EXPECT_EQ(Receive(*b, 9, 0, &received), "one");  // another sender's bytes are not joined
  EXPECT_EQ(received.control.credentials->pid, 7);
  EXPECT_EQ(Receive(*b, 9, 0, &received), "two");
  EXPECT_EQ(received.control.credentials->pid, 99);
}

TEST_F(UnixSocketTest, FilesArriveWithTheirBytesAndStopTheRead) {
  auto [a, b] = NewPair(SOCK_STREAM);
  auto [file, file_peer] = NewPair(SOCK_STREAM);
  ASSERT_TRUE(Send(*a, "plain ").ok());
  ASSERT_TRUE(Send(*a, "file", WithFile(file)).ok());
  ASSERT_TRUE(Send(*a, "after").ok());
  EXPECT_EQ(InFlightSockets(), 1u);
  Received peeked, received;
  EXPECT_EQ(Receive(*b, 99, MSG_PEEK, &peeked), "plain file");
  EXPECT_EQ(peeked.control.files.size(), 1u);
  EXPECT_EQ(Receive(*b, 99, 0, &received), "plain file");
  ASSERT_EQ(received.control.files.size(), 1u);
  EXPECT_EQ(received.control.files[0], file.get());
  EXPECT_EQ(InFlightSockets(), 0u);
  EXPECT_EQ(Receive(*b, 99), "after");
}

// The search takes the registry's lock and then that of a socket: receiving must not do so the other way
// round. absl's detector of lock cycles, which tests have on, ends the test if it does.
TEST_F(UnixSocketTest, ReceivingFilesAndSearchingForRingsLockInOneOrder) {
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
    Pair pair = NewPair(type), other = NewPair(type);
    ASSERT_EQ(Send(*pair.first, "x", WithFile(New(SOCK_STREAM))).value(), 1u);
    Received received;
    ASSERT_EQ(Receive(*pair.second, 8, 0, &received), "x");
    EXPECT_EQ(received.control.files.size(), 1u);
    ASSERT_EQ(Send(*other.first, "y", WithFile(std::move(pair.second))).value(), 1u);
    CollectRings();  // looks into the socket that has received, since only a message refers to it
    EXPECT_EQ(InFlightSockets(), 1u);
    EXPECT_EQ(Receive(*other.second, 8), "y");
  }
}

TEST_F(UnixSocketTest, ARingOfSocketsIsFound) {
  auto [a, b] = NewPair(SOCK_STREAM);
  ASSERT_TRUE(Send(*b, "x", WithFile(b)).ok());  // b rides in a's inbox
  ASSERT_TRUE(Send(*a, "x", WithFile(a)).ok());
  EXPECT_EQ(InFlightSockets(), 2u);
  CollectRings();
  EXPECT_EQ(InFlightSockets(), 2u);  // we still hold both
  b.reset();
  CollectRings();
  EXPECT_EQ(InFlightSockets(), 2u);  // b can still be received through a
  a.reset();
  CollectRings();
  EXPECT_EQ(InFlightSockets(), 0u);
}

TEST_F(UnixSocketTest, ALongChainIsClosedWithoutDeepRecursion) {
  Ref<vfs::FileDescription> last = NewPair(SOCK_DGRAM).first;
  for (int i = 0; i < 10000; ++i) {
    auto [a, b] = NewPair(SOCK_DGRAM);
    ASSERT_TRUE(Send(*a, "x", WithFile(last)).ok());
    last = b;
  }
  EXPECT_EQ(InFlightSockets(), 10000u);
  last.reset();
  EXPECT_EQ(InFlightSockets(), 0u);
}

TEST_F(UnixSocketTest, TwoThreadsPassEveryByte) {
  auto [a, b] = NewPair(SOCK_STREAM);
  constexpr size_t kTotal = 4 << 20;
  std::thread writer([this, &a = a] {
    const std::string text(3001, 'x');
    for (size_t sent = 0; sent < kTotal;) {
      const ErrnoOr<size_t> put =
          Send(*a, std::string_view(text).substr(0, std::min(text.size(), kTotal - sent)));
      if (put.ok()) {
        sent += *put;
      } else {
        std::this_thread::yield();
      }
    }
  });
  size_t got = 0;
  while (got < kTotal) {
    const std::string text = Receive(*b, 7000);
    if (text == "EAGAIN") {
      std::this_thread::yield();
    } else {
      got += text.size();
    }
  }
  writer.join();
  EXPECT_EQ(got, kTotal);
  EXPECT_EQ(Receive(*b, 1), "EAGAIN");
}

}  // namespace
}  // namespace cloister::net
