#include "runsc/cgroup/hierarchies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::cgroup {
namespace {

constexpr char kHybrid[] =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "34 31 0:30 / /elsewhere/memory rw,relatime - cgroup cgroup rw,memory\n"
    "35 31 0:31 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n"
    "36 31 0:32 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr char kOwn[] = "4:memory:/a/b\n2:cpu,cpuacct:/c\n1:name=systemd:/\n0::/user.slice/scope\n";

TEST(Hierarchies, EveryMountedOneOnce) {
  const std::vector<Hierarchy> found = ParseHierarchies(kHybrid, kOwn);
  ASSERT_EQ(found.size(), 4u);
  EXPECT_THAT(found[0].controllers, testing::ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(found[0].own, "/c");
  EXPECT_EQ(found[1].mount, "/sys/fs/cgroup/memory");
  EXPECT_THAT(found[2].controllers, testing::ElementsAre("name=systemd"));
  EXPECT_TRUE(found[3].unified());
  EXPECT_EQ(found[3].own, "/user.slice/scope");
}

TEST(Hierarchies, OfAContainerBeginAtItsOwnGroup) {
  const std::vector<Hierarchy> found = ParseHierarchies(
      "33 31 0:30 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "4:memory:/docker/x/y\n");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].own, "/y");
  EXPECT_EQ(DirectoryIn(found[0], "/docker/z"), "/sys/fs/cgroup/memory/docker/z");
  EXPECT_EQ(DirectoryIn(found[0], "z"), "/sys/fs/cgroup/memory/y/z");
}

TEST(Hierarchies, ARelativePlaceIsASiblingInVersion2) {
  const std::vector<Hierarchy> found = ParseHierarchies(kHybrid, kOwn);
  EXPECT_EQ(DirectoryIn(found[1], "z"), "/sys/fs/cgroup/memory/a/b/z");
  EXPECT_EQ(DirectoryIn(found[3], "z"), "/sys/fs/cgroup/unified/user.slice/z");
}

TEST(Place, OfConfigsPath) {
  EXPECT_EQ(*PlaceOf("/docker/1", "id", false), "/docker/1");
  EXPECT_EQ(*PlaceOf("/a/../../b", "id", false), "/b");
  EXPECT_EQ(*PlaceOf("a/../../b", "id", false), "b");
  EXPECT_EQ(*PlaceOf("", "id", false), "id");
  EXPECT_FALSE(PlaceOf("/", "id", false).ok());
}

TEST(Place, OfSystemdsUnit) {
  EXPECT_EQ(*PlaceOf("a-b.slice:docker:1", "id", true), "/a.slice/a-b.slice/docker-1.scope");
  EXPECT_EQ(*PlaceOf(":libpod:1", "id", true), "/system.slice/libpod-1.scope");
  EXPECT_EQ(*PlaceOf("-.slice:p:x.slice", "id", true), "/x.slice");
  EXPECT_EQ(*PlaceOf("", "id", true), "/system.slice/runsc-id.scope");
  EXPECT_FALSE(PlaceOf("/docker/1", "id", true).ok());
  EXPECT_FALSE(PlaceOf("a--b.slice:p:n", "id", true).ok());
}

}  // namespace
}  // namespace cloister::cgroup
