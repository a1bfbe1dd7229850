// The overlay as `runsc do` has it: over a host tree that a real gofer serves read-only.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gofer/server/server.h"
#include "gofer/tree/temp_tree.h"
#include "sentry/boot/overlay_fixture.h"
#include "sentry/fs/gofer/client.h"
#include "sentry/fs/gofer/gofer_fs.h"

namespace cloister::overlay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;

class OverlayGoferTest : public OverlayTest {
 protected:
  void Start() {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    std::vector<Ref<gofer::HostNode>> attach;
    attach.push_back(
        *gofer::HostNode::Attach(UniqueFd(open(tree.path().c_str(), O_PATH | O_CLOEXEC)), {0, true}));
    server = *gofer::Server::Make(UniqueFd(ends[0]), std::move(attach),
                                  {.connections = 1, .doorbell = false, .max_nodes = 1 << 20, .pin = false});
    runner = std::thread([this] { static_cast<void>(server->Run()); });
    auto client = goferfs::GoferClient::Connect(UniqueFd(ends[1]), [] {});
    ASSERT_TRUE(client.ok()) << client.status();
    auto mount = goferfs::GoferFs::Mount(MakeRef<goferfs::Gofer>(*std::move(client)), {});
    ASSERT_THAT(mount, Succeeds());
    Enter(MakeRef<vfs::MountNamespace>(*std::move(mount)));
    Stack();
    below = nullptr;
  }
  void TearDown() override {
    root = user = vfs::Caller();
    mounts = above = nullptr;
    if (runner.joinable()) runner.join();
  }
  std::string OnHost(const std::string& name) const {
    std::ifstream file(tree / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  gofer::TempTree tree;
  std::unique_ptr<gofer::Server> server;
  std::thread runner;
};

TEST_F(OverlayGoferTest, TheHostStaysAsItIs) {
  tree.Mkdir("d/sub");
  tree.Write("d/f", "host");
  tree.Write("d/sub/g", "host");
  tree.Write("big", std::string(3'000'000, 'b'));
  tree.Symlink("d/f", "s");
  Start();
  Put("/d/f", "overlay");
  EXPECT_EQ(Contents("/s"), "overlay");
  EXPECT_THAT(Write(**Open(root, "/big", O_WRONLY | O_APPEND), "more"), Succeeds());
  EXPECT_EQ(Stat("/big").stx_size, 3'000'004u);
  EXPECT_EQ(Contents("/big"), std::string(1 << 20, 'b'));
  EXPECT_THAT(Chmod("/d/sub/g", 0600), Succeeds());
  EXPECT_EQ(Contents("/d/sub/g"), "host");
  EXPECT_THAT(Rename(root, "/d", "/e"), Succeeds());
  EXPECT_THAT(Remove(root, "/e/sub/g"), Succeeds());
  EXPECT_THAT(Rmdir("/e/sub"), Succeeds());
  EXPECT_THAT(List("/e"), ElementsAre(".", "..", "f"));
  EXPECT_EQ(OnHost("d/f"), "host");
  EXPECT_EQ(OnHost("d/sub/g"), "host");
  EXPECT_EQ(std::filesystem::file_size(tree / "big"), 3'000'000u);
}

TEST_F(OverlayGoferTest, HardLinksOfTheHost) {
  tree.Write("a", "host");
  tree.Mkdir("d");
  std::filesystem::create_hard_link(tree / "a", tree / "d/b");
  Start();
  Put("/a", "overlay");
  ForgetCache();
  EXPECT_EQ(Contents("/d/b"), "overlay");
  EXPECT_EQ(Ino("/a"), Ino("/d/b"));
  EXPECT_EQ(Stat("/a").stx_nlink, 2u);
}

TEST_F(OverlayGoferTest, LargeDirectoriesMerge) {
  tree.Mkdir("d");
  for (int i = 0; i < 2000; ++i) tree.Write("d/host" + std::to_string(i), "");
  Start();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_THAT(Remove(root, "/d/host" + std::to_string(2 * i)), Succeeds());
    Put("/d/new" + std::to_string(i), "");
  }
  const std::vector<std::string> names = List("/d");
  EXPECT_THAT(names, SizeIs(2002));
  EXPECT_THAT(names, IsSupersetOf({"host1", "host1999", "new0", "new999"}));
  EXPECT_EQ(ListedIno("/d", "host1"), Ino("/d/host1"));
  EXPECT_EQ(ListedIno("/d", "new1"), Ino("/d/new1"));
  EXPECT_THAT(Rmdir("/d"), FailsWith(Errno::kNotEmpty));
}

TEST_F(OverlayGoferTest, AttributesOfTheHostAreCopied) {
  tree.Write("f", "host");
  ASSERT_EQ(chmod((tree / "f").c_str(), 0751), 0);
  const timespec times[2] = {{1'000'000, 5}, {2'000'000, 6}};
  ASSERT_EQ(utimensat(AT_FDCWD, (tree / "f").c_str(), times, 0), 0);
  Start();
  EXPECT_THAT(Open(root, "/f", O_RDWR), Succeeds());
  const struct statx attr = Stat("/f");
  EXPECT_EQ(attr.stx_mode, S_IFREG | 0751);
  EXPECT_EQ(attr.stx_uid, getuid());
  EXPECT_EQ(attr.stx_mtime.tv_sec, 2'000'000);
  EXPECT_EQ(attr.stx_mtime.tv_nsec, 6u);
  EXPECT_EQ(Contents("/f"), "host");
}

}  // namespace
}  // namespace cloister::overlay
