#include <linux/openat2.h>

#include <atomic>
#include <thread>

#include "sentry/fs/tmp/vfs_fixture.h"

namespace cloister::tmp {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class WalkTest : public VfsTest {
 protected:
  WalkTest() {
    EXPECT_THAT(Mkdir(root, "/a"), Succeeds());
    EXPECT_THAT(Mkdir(root, "/a/b"), Succeeds());
    Put("/a/b/file", "hello");
  }
};

TEST_F(WalkTest, FindsFilesThroughDotsAndSlashes) {
  EXPECT_EQ(Contents("/a/b/file"), "hello");
  EXPECT_EQ(Contents("//a/./b/../b//file"), "hello");
  EXPECT_EQ(Contents("/../../a/b/file"), "hello");
  EXPECT_EQ(Contents("a/b/file"), "hello");
}

TEST_F(WalkTest, RefusesWhatIsNotThere) {
  EXPECT_THAT(Find(root, "/a/c"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(root, "/a/c/d"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(root, ""), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(root, "/a/b/file/x"), FailsWith(Errno::kNotDir));
  EXPECT_THAT(Find(root, "/a/b/file/"), FailsWith(Errno::kNotDir));
  EXPECT_THAT(Find(root, "/a/b/file/.."), FailsWith(Errno::kNotDir));
  EXPECT_THAT(Find(root, "/" + std::string(256, 'x')), FailsWith(Errno::kNameTooLong));
}

TEST_F(WalkTest, ANameThatAppearsReplacesTheNegativeDentry) {
  EXPECT_THAT(Find(root, "/a/new"), FailsWith(Errno::kNoEnt));
  Put("/a/new", "x");
  EXPECT_EQ(Contents("/a/new"), "x");
  EXPECT_THAT(Remove(root, "/a/new"), Succeeds());
  EXPECT_THAT(Find(root, "/a/new"), FailsWith(Errno::kNoEnt));
}

TEST_F(WalkTest, FollowsLinks) {
  ASSERT_THAT(Symlink("b", "/a/rel"), Succeeds());
  ASSERT_THAT(Symlink("/a/b/file", "/abs"), Succeeds());
  ASSERT_THAT(Symlink("a/rel/../b/", "/chain"), Succeeds());
  EXPECT_EQ(Contents("/a/rel/file"), "hello");
  EXPECT_EQ(Contents("/abs"), "hello");
  EXPECT_EQ(Contents("/chain/file"), "hello");
  EXPECT_TRUE(At("/abs", false).dentry()->inode()->is_symlink());
  EXPECT_TRUE(At("/a/rel/", false).dentry()->inode()->is_directory());
  EXPECT_THAT(Find(root, "/abs/"), FailsWith(Errno::kNotDir));
  EXPECT_THAT(Open(root, "/abs", O_RDONLY | O_NOFOLLOW), FailsWith(Errno::kLoop));
  EXPECT_THAT(Open(root, "/a/rel", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), FailsWith(Errno::kNotDir));
}

TEST_F(WalkTest, GivesUpAfterFortyLinks) {
  ASSERT_THAT(Symlink("/loop", "/loop"), Succeeds());
  EXPECT_THAT(Find(root, "/loop"), FailsWith(Errno::kLoop));
  EXPECT_THAT(Open(root, "/loop", O_WRONLY | O_CREAT), FailsWith(Errno::kLoop));
  std::string target = "/a/b/file";
  for (int i = 0; i < 41; ++i) {
    const std::string name = "/l" + std::to_string(i);
    ASSERT_THAT(Symlink(target, name), Succeeds());
    target = name;
  }
  EXPECT_THAT(Find(root, "/l39"), Succeeds());
  EXPECT_THAT(Find(root, "/l40"), FailsWith(Errno::kLoop));
}

TEST_F(WalkTest, CreatesThroughADanglingLink) {
  ASSERT_THAT(Symlink("a/made", "/dangling"), Succeeds());
  EXPECT_THAT(Open(root, "/dangling", O_WRONLY | O_CREAT | O_EXCL), FailsWith(Errno::kExist));
  EXPECT_THAT(Open(root, "/dangling", O_WRONLY | O_CREAT), Succeeds());
  EXPECT_THAT(Find(root, "/a/made"), Succeeds());
}

TEST_F(WalkTest, ChrootEndsTheWayUp) {
  vfs::Caller jailed = root;
  jailed.root = jailed.cwd = At("/a");
  EXPECT_THAT(Find(jailed, "/../../b/file"), Succeeds());
  EXPECT_THAT(Find(jailed, "/a"), FailsWith(Errno::kNoEnt));
  ASSERT_THAT(Symlink("/b/file", "/a/abs"), Succeeds());
  EXPECT_THAT(Find(jailed, "abs"), Succeeds());
  EXPECT_EQ(vfs::PathText(*mounts, jailed.root, At("/a/b/file")), "/b/file");
  EXPECT_EQ(vfs::PathText(*mounts, jailed.root, At("/")), "(unreachable)/");
}

TEST_F(WalkTest, ResolveFlags) {
  vfs::Caller below = root;
  below.cwd = At("/a");
  ASSERT_THAT(Symlink("/a/b", "/a/abs"), Succeeds());
  ASSERT_THAT(Symlink("../a/b", "/a/up"), Succeeds());
  EXPECT_THAT(Find(below, "b/../b/file", true, RESOLVE_BENEATH), Succeeds());
  EXPECT_THAT(Find(below, "../a", true, RESOLVE_BENEATH), FailsWith(Errno::kXDev));
  EXPECT_THAT(Find(below, "/a", true, RESOLVE_BENEATH), FailsWith(Errno::kXDev));
  EXPECT_THAT(Find(below, "abs", true, RESOLVE_BENEATH), FailsWith(Errno::kXDev));
  EXPECT_THAT(Find(below, "up", true, RESOLVE_BENEATH), FailsWith(Errno::kXDev));
  EXPECT_THAT(Find(below, "/b/file", true, RESOLVE_IN_ROOT), Succeeds());
  EXPECT_THAT(Find(below, "../../b/file", true, RESOLVE_IN_ROOT), Succeeds());
  EXPECT_THAT(Find(below, "abs", true, RESOLVE_IN_ROOT), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(below, "up/file", true, RESOLVE_NO_SYMLINKS), FailsWith(Errno::kLoop));
}

TEST_F(WalkTest, MountsCoverAndUncover) {
  ASSERT_THAT(mounts->Attach(MountTmp({}, 0), At("/a/b")), Succeeds());
  EXPECT_THAT(Find(root, "/a/b/file"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(root, "/a/b/../b/../../a"), Succeeds());
  EXPECT_THAT(Find(root, "/a/b", true, RESOLVE_NO_XDEV), FailsWith(Errno::kXDev));
  EXPECT_THAT(vfs::RemoveDirectory(root, root.cwd, "/a/b"), FailsWith(Errno::kBusy));
  EXPECT_THAT(Rename(root, "/a/b", "/x"), FailsWith(Errno::kBusy));
  EXPECT_THAT(Mkdir(root, "/a/b/inner"), Succeeds());
  EXPECT_THAT(Rename(root, "/a/b/inner", "/x"), FailsWith(Errno::kXDev));
  ASSERT_THAT(mounts->Attach(MountTmp({}, 0), At("/a/b")), Succeeds());
  EXPECT_EQ(mounts->List().size(), 3u);
  EXPECT_EQ(vfs::PathText(*mounts, root.root, At("/a/b")), "/a/b");
  EXPECT_THAT(mounts->Detach(At("/a"), false), FailsWith(Errno::kInval));
  EXPECT_THAT(mounts->Detach(At("/a/b"), false), Succeeds());
  EXPECT_THAT(List("/a/b"), ElementsAre(".", "..", "inner"));
  {
    const vfs::Path held = At("/a/b/inner");
    EXPECT_THAT(mounts->Detach(At("/a/b"), false), FailsWith(Errno::kBusy));
  }
  EXPECT_THAT(mounts->Detach(At("/a/b"), false), Succeeds());
  EXPECT_EQ(Contents("/a/b/file"), "hello");
}

TEST_F(WalkTest, ReadOnlyMount) {
  ASSERT_THAT(mounts->Attach(MountTmp({}, MS_RDONLY), At("/a/b")), Succeeds());
  EXPECT_THAT(Mkdir(root, "/a/b/x"), FailsWith(Errno::kRofs));
  EXPECT_THAT(Open(root, "/a/b/x", O_RDWR | O_CREAT), FailsWith(Errno::kRofs));
  EXPECT_THAT(vfs::ChangeMode(root, At("/a/b"), 0700), FailsWith(Errno::kRofs));
}

TEST_F(WalkTest, ACopiedNamespaceIsIndependent) {
  ASSERT_THAT(mounts->Attach(MountTmp({}, 0), At("/a/b")), Succeeds());
  const Ref<vfs::MountNamespace> copy = mounts->Copy();
  const vfs::Path there = copy->Translate(At("/a/b"));
  EXPECT_TRUE(copy->Contains(*there.mount()));
  EXPECT_FALSE(mounts->Contains(*there.mount()));
  EXPECT_THAT(mounts->Detach(At("/a/b"), true), Succeeds());
  EXPECT_EQ(Contents("/a/b/file"), "hello");
  EXPECT_EQ(copy->List().size(), 2u);
}

TEST_F(WalkTest, DeletedDirectoryTakesNoNames) {
  ASSERT_THAT(Mkdir(root, "/gone"), Succeeds());
  vfs::Caller inside = root;
  inside.cwd = At("/gone");
  ASSERT_THAT(vfs::RemoveDirectory(root, root.cwd, "/gone"), Succeeds());
  EXPECT_THAT(Mkdir(inside, "x"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(inside, "x"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(inside, ".."), Succeeds());
  EXPECT_EQ(vfs::PathText(*mounts, root.root, inside.cwd), "/gone (deleted)");
}

TEST_F(WalkTest, DirectoriesMayBeVeryDeep) {
  vfs::Caller deep = root;
  for (int i = 0; i < 20000; ++i) {
    ASSERT_THAT(Mkdir(deep, "d"), Succeeds());
    deep.cwd = *Find(deep, "d");
  }
  deep.cwd = root.cwd;
  EXPECT_THAT(Rename(root, "/d", "/e"), Succeeds());
}

TEST_F(WalkTest, ThreadsWalkWhileOthersRename) {
  std::atomic<bool> stop{false};
  std::thread renamer([&] {
    for (int i = 0; i < 3000; ++i) {
      EXPECT_THAT(Rename(root, "/a/b", "/c"), Succeeds());
      EXPECT_THAT(Rename(root, "/c", "/a/b"), Succeeds());
    }
    stop = true;
  });
  int found = 0;
  while (!stop) {
    found += Find(root, "/a/b/../b/file").ok() ? 1 : 0;
    found += Find(root, "/c/file").ok() ? 1 : 0;
    static_cast<void>(At("/a").dentry()->ForgetChildren());
  }
  renamer.join();
  EXPECT_EQ(Contents("/a/b/file"), "hello");
  EXPECT_GE(found, 0);
}

TEST_F(WalkTest, ThreadsCreateTheSameNamesOnce) {
  std::atomic<int> made{0};
  const auto work = [&] {
    for (int i = 0; i < 500; ++i) {
      if (Open(root, "/a/n" + std::to_string(i), O_WRONLY | O_CREAT | O_EXCL).ok()) ++made;
    }
  };
  std::thread one(work), two(work);
  one.join();
  two.join();
  EXPECT_EQ(made, 500);
  EXPECT_EQ(List("/a").size(), 503u);
}

}  // namespace
}  // namespace cloister::tmp
