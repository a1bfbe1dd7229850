#include "sentry/net/inet/host_socket.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/tcp.h>

#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "sentry/net/inet/host_options.h"
#include "sentry/net/inet/host_stack.h"

namespace cloister::net {
namespace {

// Sockets on the loopback device of whatever machine the test runs on.
class HostSocketTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    static const bool started = wait::Poller::Get().Start().ok();
    ASSERT_TRUE(started);
  }
  HostSocketTest() : stack_(*HostStack::Create()), net_(MakeRef<NetNamespace>(stack_)) {}

  ErrnoOr<Ref<Socket>> New(int domain, int type, int protocol = 0) {
    return stack_->MakeSocket(
        {.domain = domain, .type = type, .protocol = protocol, .cred = auth::Credentials::Root()}, net_);
  }
  static SocketAddress Loopback(uint16_t port) {
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return SocketAddress::Of(in);
  }
  static ErrnoOr<size_t> Send(Socket& socket, std::string_view text, SendRequest request = {}) {
    UserBuffer src = UserBuffer::KernelConst(std::as_bytes(std::span(text)));
    return socket.Send(src, request);
  }
  static std::string Receive(Socket& socket, size_t size, int flags = 0, Received* received = nullptr) {
    Received own;
    std::string text(size, '\0');
    UserBuffer dst = UserBuffer::Kernel(std::as_writable_bytes(std::span(text)));
    const ErrnoOr<size_t> got = socket.Receive(dst, flags, received != nullptr ? received : &own);
    if (!got.ok()) return std::string(ErrnoName(got.error()));
    text.resize(*got);
    return text;
  }
  // Parks the test's own thread until the file is ready: what the dispatcher does for a task.
  static bool WaitFor(Socket& socket, Poll events) {
    class Flag final : public wait::Waiter {
     public:
      void OnEvent(Poll) override {
        absl::MutexLock lock(&mu_);
        told_ = true;
      }
      bool Await() {
        absl::MutexLock lock(&mu_);
        const bool told = mu_.AwaitWithTimeout(absl::Condition(&told_), absl::Seconds(10));
        told_ = false;
        return told;
      }

     private:
      absl::Mutex mu_;
      bool told_ ABSL_GUARDED_BY(mu_) = false;
    } flag;
    wait::WaitEntry entry;
    socket.wait_queue()->Add(entry, flag, events);
    bool ready;
    while (!(ready = socket.Ready().Any(events))) {
      if (!flag.Await()) break;
    }
    socket.wait_queue()->Remove(entry);
    return ready;
  }

  const Ref<HostStack> stack_;
  const Ref<NetNamespace> net_;
  vfs::Caller caller_ = {.cred = auth::Credentials::Root()};
};

TEST_F(HostSocketTest, TcpConversation) {
  Ref<Socket> server = *New(AF_INET, SOCK_STREAM);
  ASSERT_TRUE(server->Bind(Loopback(0), caller_).ok());
  ASSERT_TRUE(server->Listen(5).ok());
  EXPECT_EQ(server->Accept(0).error(), Errno::kAgain);
  const SocketAddress where = *server->GetSockName();
  Ref<Socket> client = *New(AF_INET, SOCK_STREAM);
  const ErrnoOrVoid connected = client->Connect(where, caller_);
  EXPECT_TRUE(connected.ok() || connected.error() == Errno::kInProgress);
  ASSERT_TRUE(WaitFor(*server, Poll::kIn));
  ErrnoOr<Ref<Socket>> accepted = server->Accept(O_NONBLOCK);
  ASSERT_TRUE(accepted.ok());
  ASSERT_TRUE(WaitFor(*client, Poll::kOut));
  const ErrnoOrVoid again = client->Connect(where, caller_);
  EXPECT_TRUE(again.ok() || again.error() == Errno::kIsConn);
  EXPECT_EQ(client->Connect(where, caller_).error(), Errno::kIsConn);

  EXPECT_EQ(Receive(**accepted, 9), "EAGAIN");
  EXPECT_FALSE((*accepted)->Ready().Any(Poll::kIn));
  ASSERT_EQ(*Send(*client, "hello"), 5u);
  ASSERT_TRUE(WaitFor(**accepted, Poll::kIn));
  EXPECT_EQ(Receive(**accepted, 2, MSG_PEEK), "he");
  EXPECT_EQ(Receive(**accepted, 9), "hello");
  EXPECT_FALSE((*accepted)->Ready().Any(Poll::kIn));
  ASSERT_TRUE(client->Shutdown(SHUT_WR).ok());
  ASSERT_TRUE(WaitFor(**accepted, Poll::kIn));
  EXPECT_EQ(Receive(**accepted, 9), "");
  accepted->reset();
  ASSERT_TRUE(WaitFor(*client, Poll::kHup));
}

TEST_F(HostSocketTest, RefusedConnectionIsTold) {
  Ref<Socket> taken = *New(AF_INET, SOCK_STREAM);
  ASSERT_TRUE(taken->Bind(Loopback(0), caller_).ok());  // bound, but nobody listens
  Ref<Socket> client = *New(AF_INET, SOCK_STREAM);
  ErrnoOrVoid connected = client->Connect(*taken->GetSockName(), caller_);
  if (connected.error() == Errno::kInProgress) {
    ASSERT_TRUE(WaitFor(*client, Poll::kErr));
    connected = client->Connect(*taken->GetSockName(), caller_);
  }
  EXPECT_EQ(connected.error(), Errno::kConnRefused);
}

TEST_F(HostSocketTest, DatagramsCarryAddressAndTruncation) {
  Ref<Socket> server = *New(AF_INET, SOCK_DGRAM), client = *New(AF_INET, SOCK_DGRAM);
  ASSERT_TRUE(server->Bind(Loopback(0), caller_).ok());
  ASSERT_TRUE(client->Bind(Loopback(0), caller_).ok());
  ASSERT_TRUE(server->SetOption(IPPROTO_IP, IP_RECVTTL, ToOption(1)).ok());
  SendRequest request;
  request.to = *server->GetSockName();
  ASSERT_EQ(*Send(*client, "datagram", request), 8u);
  ASSERT_TRUE(WaitFor(*server, Poll::kIn));
  Received received;
  EXPECT_EQ(Receive(*server, 4, 0, &received), "data");
  EXPECT_EQ(received.full_length, 8u);
  EXPECT_TRUE(received.flags & MSG_TRUNC);
  EXPECT_EQ(received.from.As<sockaddr_in>().sin_port, client->GetSockName()->As<sockaddr_in>().sin_port);
  ASSERT_EQ(received.control.items.size(), 1u);
  EXPECT_EQ(received.control.items[0].type, IP_TTL);
  EXPECT_EQ(Send(*client, std::string(70000, 'x'), request).error(), Errno::kMsgSize);
}

TEST_F(HostSocketTest, OnlyListedOptionsReachTheHost) {
  Ref<Socket> socket = *New(AF_INET, SOCK_STREAM);
  ASSERT_TRUE(socket->SetOption(IPPROTO_TCP, TCP_NODELAY, ToOption(1)).ok());
  EXPECT_NE(*FromOption<int>(*socket->GetOption(IPPROTO_TCP, TCP_NODELAY, 4)), 0);
  EXPECT_GT(socket->GetOption(IPPROTO_TCP, TCP_INFO, 256)->size(), 100u);
  EXPECT_EQ(socket->GetOption(IPPROTO_TCP, TCP_INFO, 8)->size(), 8u);
  EXPECT_EQ(socket->SetOption(IPPROTO_TCP, TCP_REPAIR, ToOption(1)).error(), Errno::kNoProtoOpt);
  EXPECT_EQ(socket->SetOption(SOL_SOCKET, SO_ATTACH_FILTER, ToOption(uint64_t{0})).error(),
            Errno::kNoProtoOpt);
  EXPECT_EQ(socket->SetOption(SOL_SOCKET, SO_REUSEADDR, {}).error(), Errno::kInval);
  EXPECT_EQ(*FromOption<int>(*socket->GetOption(SOL_SOCKET, SO_TYPE, 4)), SOCK_STREAM);
  EXPECT_FALSE(MaySendControl(SOL_SOCKET, SCM_RIGHTS, 4));
  EXPECT_FALSE(MaySendControl(IPPROTO_IP, IP_TTL, 400));
}

TEST_F(HostSocketTest, KindsAndAddressesThatAreNotServed) {
  EXPECT_EQ(New(AF_INET, SOCK_RAW, IPPROTO_ICMP).error(), Errno::kPerm);
  EXPECT_EQ(New(AF_INET, SOCK_STREAM, IPPROTO_SCTP).error(), Errno::kProtoNoSupport);
  EXPECT_EQ(New(AF_PACKET, SOCK_DGRAM).error(), Errno::kAfNoSupport);
  Ref<Socket> socket = *New(AF_INET, SOCK_STREAM);
  EXPECT_EQ(socket->Bind(SocketAddress(), caller_).error(), Errno::kInval);
  EXPECT_EQ(socket->Bind(SocketAddress::Of(sa_family_t{AF_INET}), caller_).error(), Errno::kInval);
  sockaddr foreign = {};
  foreign.sa_family = AF_UNIX;
  EXPECT_EQ(socket->Connect(SocketAddress::Of(foreign), caller_).error(), Errno::kAfNoSupport);
}

TEST_F(HostSocketTest, TheLoopbackDeviceIsListed) {
  const auto interfaces = stack_->Interfaces();
  ASSERT_TRUE(interfaces.ok());
  bool found = false;
  for (const Interface& interface : *interfaces) {
    if (interface.name != "lo") continue;
    found = true;
    EXPECT_TRUE(interface.flags & IFF_LOOPBACK);
    EXPECT_GT(interface.mtu, 0u);
  }
  EXPECT_TRUE(found);
  EXPECT_EQ(stack_->RouteDump(RTM_NEWLINK, 0).error(), Errno::kOpNotSupp);
}

TEST(ParseInterfaces, SurvivesMalformedMessages) {
  Stack::Messages messages;
  for (size_t size = 0; size < 64; ++size) messages.emplace_back(size, std::byte{0xff});
  EXPECT_LE(ParseInterfaces(messages, messages).size(), messages.size());
}

}  // namespace
}  // namespace cloister::net
