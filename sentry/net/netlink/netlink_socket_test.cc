#include "sentry/net/netlink/netlink_socket.h"

#include <linux/rtnetlink.h>

#include "gtest/gtest.h"

namespace cloister::net {
namespace {

// Two links, "lo" and "eth0", as the host would tell of them.
class FakeStack final : public Stack {
 public:
  ErrnoOr<Ref<Socket>> MakeSocket(const SocketRequest&, Ref<NetNamespace>) override {
    return Errno::kAfNoSupport;
  }
  ErrnoOr<std::vector<Interface>> Interfaces() override { return std::vector<Interface>(); }
  ErrnoOr<Messages> RouteDump(uint16_t type, uint8_t) override {
    if (type != RTM_GETLINK) return Messages();
    return Messages{Link(1, "lo"), Link(2, "eth0")};
  }

 private:
  static std::vector<std::byte> Link(int index, const char* name) {
    struct {
      nlmsghdr head;
      ifinfomsg body;
      rtattr attribute;
      char name[8];
    } message = {};
    message.head = {sizeof message, RTM_NEWLINK, 0, 77, 88};
    message.body.ifi_index = index;
    message.attribute = {sizeof(rtattr) + 8, IFLA_IFNAME};
    strncpy(message.name, name, sizeof message.name - 1);
    const auto bytes = std::as_bytes(std::span(&message, 1));
    return {bytes.begin(), bytes.end()};
  }
};

struct Request {
  nlmsghdr head;
  ifinfomsg body;
};

class NetlinkTest : public ::testing::Test {
 protected:
  ErrnoOr<size_t> Send(std::span<const std::byte> bytes) {
    SendRequest request;
    UserBuffer src = UserBuffer::KernelConst(bytes);
    return socket_->Send(src, request);
  }
  ErrnoOr<size_t> Ask(uint16_t type, uint16_t flags, int index = 0) {
    Request request = {};
    request.head = {sizeof request, type, static_cast<uint16_t>(NLM_F_REQUEST | flags), 5, 0};
    request.body.ifi_index = index;
    return Send(std::as_bytes(std::span(&request, 1)));
  }
  // The heads of the messages in the next datagram.
  std::vector<nlmsghdr> Answers() {
    std::vector<std::byte> buffer(32 << 10);
    UserBuffer dst = UserBuffer::Kernel(buffer);
    Received received;
    const ErrnoOr<size_t> got = socket_->Receive(dst, 0, &received);
    std::vector<nlmsghdr> heads;
    if (!got.ok()) return heads;
    for (size_t at = 0; at + sizeof(nlmsghdr) <= *got;) {
      nlmsghdr head;
      memcpy(&head, buffer.data() + at, sizeof head);
      heads.push_back(head);
      at += NLMSG_ALIGN(head.nlmsg_len);
    }
    return heads;
  }

  Ref<NetNamespace> net_ = MakeRef<NetNamespace>(MakeRef<FakeStack>());
  Ref<Socket> socket_ = *MakeNetlinkSocket(
      {.domain = AF_NETLINK, .type = SOCK_RAW, .protocol = NETLINK_ROUTE, .cred = auth::Credentials::Root()},
      net_);
};

TEST_F(NetlinkTest, DumpsAreAnsweredWithTheGuestsOwnNumbers) {
  EXPECT_EQ(socket_->Ready(), Poll::kOut);
  ASSERT_TRUE(Ask(RTM_GETLINK, NLM_F_DUMP).ok());
  EXPECT_EQ(socket_->Ready(), Poll::kIn | Poll::kOut);
  const std::vector<nlmsghdr> links = Answers();
  ASSERT_EQ(links.size(), 2u);
  EXPECT_EQ(links[0].nlmsg_type, RTM_NEWLINK);
  EXPECT_EQ(links[0].nlmsg_seq, 5u);
  EXPECT_EQ(links[0].nlmsg_pid, socket_->GetSockName()->As<sockaddr_nl>().nl_pid);
  EXPECT_TRUE(links[0].nlmsg_flags & NLM_F_MULTI);
  EXPECT_EQ(Answers().at(0).nlmsg_type, NLMSG_DONE);
  EXPECT_TRUE(Answers().empty());
}

TEST_F(NetlinkTest, OneLinkByIndex) {
  ASSERT_TRUE(Ask(RTM_GETLINK, 0, 2).ok());
  EXPECT_EQ(Answers().at(0).nlmsg_type, RTM_NEWLINK);
  ASSERT_TRUE(Ask(RTM_GETLINK, 0, 3).ok());
  EXPECT_EQ(Answers().at(0).nlmsg_type, NLMSG_ERROR);
}

TEST_F(NetlinkTest, ChangesAreRefused) {
  ASSERT_TRUE(Ask(RTM_NEWLINK, NLM_F_ACK).ok());
  EXPECT_EQ(Answers().at(0).nlmsg_type, NLMSG_ERROR);
}

TEST_F(NetlinkTest, MalformedRequestsAreLeftAlone) {
  for (size_t size = 0; size < 48; ++size) {
    for (const std::byte fill : {std::byte{0}, std::byte{0x10}, std::byte{0xff}}) {
      EXPECT_TRUE(Send(std::vector<std::byte>(size, fill)).ok());
    }
  }
}

TEST_F(NetlinkTest, OtherProtocolsAreNotThere) {
  EXPECT_EQ(
      MakeNetlinkSocket({.domain = AF_NETLINK, .type = SOCK_RAW, .protocol = NETLINK_AUDIT}, net_).error(),
      Errno::kProtoNoSupport);
}

}  // namespace
}  // namespace cloister::net
