// What a sentry gone bad may send: nothing of it may end the gofer, or reach outside.

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "gofer/server/server_fixture.h"

namespace cloister::gofer {
namespace {

class Hostile : public ServerTest {
 protected:
  Hostile() {
    tree.Write("file", "x");
    Start({.connections = 2, .max_nodes = 20});
  }
  void SendRaw(std::span<const std::byte> bytes) {
    ASSERT_EQ(write(peer->raw, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  // Waits for it.
  bool HasHungUp() {
    char byte;
    return read(peer->raw, &byte, 1) <= 0;
  }
};

TEST_F(Hostile, AHugeLengthEndsTheConnection) {
  for (const uint32_t length : {0xffffffffu, static_cast<uint32_t>(kWindowBytes + 1)}) {
    SendRaw(std::as_bytes(std::span(&length, 1)));
    EXPECT_TRUE(HasHungUp());
    Stop();
    EXPECT_FALSE(ended.ok());
    Start({.connections = 2, .max_nodes = 20});
  }
}

TEST_F(Hostile, ARequestThatDoesNotParseEndsTheConnection) {
  Entry garbage;  // as a Request: a ListenRequest that is cut off
  garbage.set_name("\xff\xff\xff");
  Reply reply;
  EXPECT_FALSE(peer->channel().Call(garbage, &reply, nullptr).ok());
  Stop();
  EXPECT_FALSE(ended.ok());
}

TEST_F(Hostile, HalfARecordEndsTheConnection) {
  const unsigned char half[] = {20, 0};
  SendRaw(std::as_bytes(std::span(half)));
  shutdown(peer->raw, SHUT_WR);
  EXPECT_TRUE(HasHungUp());
}

TEST_F(Hostile, OnlyAListenerIsListenedTo) {
  Request request;
  request.mutable_listen();
  Peer& doorbell = *peer->others.back();
  EXPECT_EQ(doorbell.Call(request).error(), EINVAL);
  const UniqueFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(doorbell.Call(request, file.get()).error(), EINVAL);
  EXPECT_EQ(peer->Call(request, file.get()).error(), EINVAL);
  EXPECT_NE(doorbell.Attach(), 0u);
}

TEST_F(Hostile, AnEmptyRequestIsAnswered) { EXPECT_EQ(peer->Call(Request()).error(), ENOSYS); }

size_t OpenDescriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    count += !entry.path().empty();
  return count;
}

TEST_F(Hostile, DescriptorsOnARequestAreDropped) {
  Request request;
  request.mutable_attach()->set_index(77);
  (void)peer->Call(request);
  const size_t before = OpenDescriptors();
  for (int round = 0; round < 20; ++round) (void)peer->Call(request, STDIN_FILENO);
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(Hostile, UnknownNodesAreRefusedByEveryRequest) {
  for (const uint64_t id : {uint64_t{0}, uint64_t{12345}, ~uint64_t{0}}) {
    Request request;
    request.mutable_get_attr()->set_node(id);
    EXPECT_EQ(peer->Call(request).error(), EBADF);
    request.mutable_open()->set_node(id);
    EXPECT_EQ(peer->Call(request).error(), EBADF);
    request.mutable_create()->set_dir(id);
    EXPECT_EQ(peer->Call(request).error(), EBADF);
    request.mutable_rename()->set_from_dir(id);
    EXPECT_EQ(peer->Call(request).error(), EBADF);
    request.mutable_read_dir()->set_dir(id);
    EXPECT_EQ(peer->Call(request).error(), EBADF);
    EXPECT_EQ(peer->Walk(id, {"file"}).error(), EBADF);
    request.Clear();
    request.add_forget(id);
    EXPECT_EQ(peer->Call(request).error(), 0);
  }
}

TEST_F(Hostile, NodesAreBounded) {
  const uint64_t root = peer->Attach();
  int given = 1;
  while (peer->Walk(root, {"file"}).error() == 0) ASSERT_LT(++given, 21);
  EXPECT_EQ(given, 20);
  EXPECT_EQ(peer->Walk(root, {"file"}).error(), ENFILE);
  Request request;
  request.mutable_get_attr()->set_node(root);
  EXPECT_EQ(peer->Call(request).error(), 0);
  // Forgotten first, then the rest.
  for (uint64_t id = 2; id <= 20; ++id) request.add_forget(id);
  request.mutable_walk()->set_dir(root);
  request.mutable_walk()->add_names("file");
  EXPECT_EQ(peer->Call(request).error(), 0);
}

TEST_F(Hostile, FieldsOutsideTheirLimitsAreRefused) {
  const uint64_t root = peer->Attach();
  Request request;
  request.mutable_walk()->set_dir(root);
  for (int i = 0; i < kMaxWalkNames + 1; ++i) request.mutable_walk()->add_names("a");
  EXPECT_EQ(peer->Call(request).error(), EINVAL);
  request.mutable_read_dir()->set_dir(root);
  request.mutable_read_dir()->set_attr_limit(kMaxListEntries + 1);
  EXPECT_EQ(peer->Call(request).error(), EINVAL);
  request.mutable_read_dir()->set_attr_limit(0);
  request.mutable_read_dir()->set_cookie(~uint64_t{0});
  EXPECT_EQ(peer->Call(request).error(), EINVAL);
  request.mutable_create()->set_dir(root);
  request.mutable_create()->set_name("new");
  request.mutable_create()->set_flags(~0u);
  EXPECT_EQ(peer->Call(request).error(), EINVAL);
  request.mutable_create()->set_flags(O_RDWR);
  request.mutable_create()->mutable_owner()->set_mode(~0u);
  EXPECT_EQ(peer->Call(request).error(), EINVAL);
  request.mutable_create()->mutable_owner()->set_mode(0600);
  request.mutable_create()->mutable_owner()->set_uid(~0u);
  EXPECT_EQ(peer->Call(request).error(), EINVAL);
  request.mutable_set_attr()->set_node(root);
  request.mutable_set_attr()->set_mask(~0u);
  EXPECT_EQ(peer->Call(request).error(), EINVAL);
  request.mutable_mknod()->set_dir(root);
  request.mutable_mknod()->set_name("new");
  request.mutable_mknod()->set_type(S_IFDIR);
  EXPECT_EQ(peer->Call(request).error(), EINVAL);
  request.mutable_symlink()->set_dir(root);
  request.mutable_symlink()->set_name("new");
  request.mutable_symlink()->set_target(std::string(5000, 'x'));
  EXPECT_EQ(peer->Call(request).error(), ENAMETOOLONG);
  request.mutable_set_xattr()->set_node(root);
  request.mutable_set_xattr()->set_name("user.a");
  request.mutable_set_xattr()->set_value(std::string(70000, 'x'));
  EXPECT_EQ(peer->Call(request).error(), E2BIG);
  for (int i = 0; i < kMaxForget + 1; ++i) request.add_forget(12345);
  EXPECT_EQ(peer->Call(request).error(), EINVAL);
}

TEST_F(Hostile, RandomRequestsDoNotEndIt) {
  peer->Attach();
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    Request request;
    // A valid shell with random insides: unknown ids, names and flags of all kinds.
    std::string bytes(random() % 60, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    request.mutable_walk()->set_dir(random() % 4);
    request.mutable_walk()->add_names(bytes);
    request.mutable_walk()->set_open_last(true);
    request.mutable_walk()->set_open_flags(random());
    (void)peer->Call(request);
    request.mutable_unlink()->set_dir(random() % 4);
    request.mutable_unlink()->set_name(bytes);
    (void)peer->Call(request);
    request.mutable_open()->set_node(random() % 4);
    request.mutable_open()->set_flags(random());
    (void)peer->Call(request);
  }
  Request request;
  request.mutable_get_attr()->set_node(1);
  EXPECT_EQ(peer->Call(request).error(), 0);
}

}  // namespace
}  // namespace cloister::gofer
