#include "runsc/cgroup/group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"

namespace cloister::cgroup {
namespace {

// Plain directories stand for hierarchies; a kernel's files are made by the test.
class GroupTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/cloister-group-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    top_ = name;
  }
  void TearDown() override {
    const std::string command = absl::StrCat("rm -rf ", top_);
    ASSERT_EQ(system(command.c_str()), 0);
  }

  Hierarchy Mounted(const std::string& name, std::vector<std::string> controllers) {
    const std::string mount = absl::StrCat(top_, "/", name);
    mkdir(mount.c_str(), 0755);
    return {.mount = mount, .root = "/", .controllers = std::move(controllers), .own = "/"};
  }
  void Put(const std::string& path, const std::string& text) { std::ofstream(top_ + path) << text; }
  std::string Get(const std::string& path) {
    std::ifstream file(top_ + path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  std::string top_;
};

TEST_F(GroupTest, MadeWhereverSomethingIsMountedAndRemoved) {
  const std::vector<Hierarchy> hierarchies = {Mounted("memory", {"memory"}), Mounted("unified", {})};
  const Group group = Group::Plan(hierarchies, "/parent/id");
  EXPECT_THAT(group.directories(), testing::ElementsAre(testing::Pair("", top_ + "/unified/parent/id"),
                                                        testing::Pair("memory", top_ + "/memory/parent/id")));
  EXPECT_EQ(access((top_ + "/memory/parent/id").c_str(), F_OK), -1);
  const absl::Status made = group.Make(hierarchies);
  ASSERT_TRUE(made.ok()) << made;
  EXPECT_EQ(access((top_ + "/memory/parent/id").c_str(), F_OK), 0);
  // What cannot be removed is named, and keeps none of the others.
  const std::string within = top_ + "/memory/parent/id/within";
  mkdir(within.c_str(), 0755);
  EXPECT_THAT(std::string(group.Remove(absl::Seconds(1)).message()),
              testing::HasSubstr(top_ + "/memory/parent/id"));
  EXPECT_EQ(access((top_ + "/unified/parent/id").c_str(), F_OK), -1);
  rmdir(within.c_str());
  const absl::Status removed = group.Remove(absl::Seconds(1));
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_EQ(access((top_ + "/memory/parent/id").c_str(), F_OK), -1);
  EXPECT_EQ(access((top_ + "/unified/parent").c_str(), F_OK), 0);
}

TEST_F(GroupTest, CpuSetTakesItsParents) {
  const Hierarchy cpuset = Mounted("cpuset", {"cpuset"});
  Put("/cpuset/cpuset.cpus", "0-3\n");
  Put("/cpuset/cpuset.mems", "0\n");
  const Group group = Group::Plan({cpuset}, "/a/b");
  ASSERT_FALSE(group.Make({cpuset}).ok());  // no file to write: the kernel would have made it
  mkdir((top_ + "/cpuset/a").c_str(), 0755);
  mkdir((top_ + "/cpuset/a/b").c_str(), 0755);
  for (const char* file : {"/cpuset/a/cpuset.cpus", "/cpuset/a/cpuset.mems", "/cpuset/a/b/cpuset.cpus",
                           "/cpuset/a/b/cpuset.mems"})
    Put(file, "");
  ASSERT_TRUE(group.Make({cpuset}).ok());
  EXPECT_EQ(Get("/cpuset/a/b/cpuset.cpus"), "0-3");
}

TEST_F(GroupTest, LimitsGoToTheVersionThatHasTheController) {
  const std::vector<Hierarchy> hierarchies = {Mounted("memory", {"memory"}), Mounted("unified", {})};
  const Group group = Group::Plan(hierarchies, "/id");
  ASSERT_TRUE(group.Make(hierarchies).ok());
  Put("/memory/id/memory.limit_in_bytes", "");
  Put("/unified/id/pids.max", "");
  const absl::Status applied = group.Apply({.memory_limit = 4096, .pids_limit = 10}, 5);
  EXPECT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(Get("/memory/id/memory.limit_in_bytes"), "4096");
  EXPECT_EQ(Get("/unified/id/pids.max"), "15");
  EXPECT_EQ(group.Read("pids", "pids.max"), "15");
}

TEST_F(GroupTest, AMissingFileIsAnErrorForALimitThatProtects) {
  const std::vector<Hierarchy> hierarchies = {Mounted("memory", {"memory"})};
  const Group group = Group::Plan(hierarchies, "/id");
  ASSERT_TRUE(group.Make(hierarchies).ok());
  const absl::Status failed = group.Apply({.memory_limit = 4096}, 0);
  EXPECT_THAT(std::string(failed.message()), testing::HasSubstr("memory.limit_in_bytes"));
  EXPECT_TRUE(group.Apply({.memory_swappiness = 5}, 0).ok());
  EXPECT_THAT(std::string(group.Apply({.pids_limit = 5}, 0).message()), testing::HasSubstr("pids"));
}

}  // namespace
}  // namespace cloister::cgroup
