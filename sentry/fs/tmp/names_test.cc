#include <linux/fs.h>

#include "sentry/fs/tmp/vfs_fixture.h"

namespace cloister::tmp {
namespace {

using ::testing::ElementsAre;

class NamesTest : public VfsTest {};

TEST_F(NamesTest, CreateRules) {
  ASSERT_THAT(Mkdir(root, "/d/"), Succeeds());
  EXPECT_THAT(Mkdir(root, "/d"), FailsWith(Errno::kExist));
  EXPECT_THAT(Mkdir(root, "/"), FailsWith(Errno::kExist));
  EXPECT_THAT(Mkdir(root, "/d/."), FailsWith(Errno::kExist));
  EXPECT_THAT(Open(root, "/d", O_RDWR | O_CREAT), FailsWith(Errno::kIsDir));
  EXPECT_THAT(Open(root, "/f/", O_RDWR | O_CREAT), FailsWith(Errno::kIsDir));
  EXPECT_THAT(Open(root, "/d", O_RDWR), FailsWith(Errno::kIsDir));
  EXPECT_THAT(Symlink("", "/s"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Symlink("x", "/s/"), FailsWith(Errno::kNoEnt));
}

TEST_F(NamesTest, RemoveRules) {
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  Put("/d/f", "");
  EXPECT_THAT(Remove(root, "/d"), FailsWith(Errno::kIsDir));
  EXPECT_THAT(Remove(root, "/d/f/"), FailsWith(Errno::kNotDir));
  EXPECT_THAT(vfs::RemoveDirectory(root, root.cwd, "/d"), FailsWith(Errno::kNotEmpty));
  EXPECT_THAT(vfs::RemoveDirectory(root, root.cwd, "/d/f"), FailsWith(Errno::kNotDir));
  EXPECT_THAT(vfs::RemoveDirectory(root, root.cwd, "/d/."), FailsWith(Errno::kInval));
  EXPECT_THAT(vfs::RemoveDirectory(root, root.cwd, "/d/.."), FailsWith(Errno::kNotEmpty));
  EXPECT_THAT(vfs::RemoveDirectory(root, root.cwd, "/"), FailsWith(Errno::kBusy));
  const auto open = Open(root, "/d/f", O_RDWR);
  EXPECT_THAT(Remove(root, "/d/f"), Succeeds());
  EXPECT_THAT(Write(**open, "still there"), Succeeds());
  EXPECT_THAT(vfs::RemoveDirectory(root, root.cwd, "/d/"), Succeeds());
}

TEST_F(NamesTest, NothingIsKeptOfADeletedDirectory) {
  ASSERT_THAT(Mkdir(root, "/removed"), Succeeds());
  ASSERT_THAT(Mkdir(root, "/replaced"), Succeeds());
  ASSERT_THAT(Mkdir(root, "/moved"), Succeeds());
  const Ref<vfs::Inode> removed = At("/removed").dentry()->inode();
  const Ref<vfs::Inode> replaced = At("/replaced").dentry()->inode();
  EXPECT_THAT(Find(root, "/removed/none"), FailsWith(Errno::kNoEnt));  // cached: a name that is not there
  EXPECT_THAT(Find(root, "/replaced/none"), FailsWith(Errno::kNoEnt));
  ASSERT_THAT(vfs::RemoveDirectory(root, root.cwd, "/removed"), Succeeds());
  ASSERT_THAT(Rename(root, "/moved", "/replaced"), Succeeds());
  EXPECT_EQ(removed->ref_count(), 1);
  EXPECT_EQ(replaced->ref_count(), 1);
}

TEST_F(NamesTest, LinksShareTheInode) {
  Put("/f", "one");
  ASSERT_THAT(Link("/f", "/g"), Succeeds());
  EXPECT_EQ(Stat("/f").stx_nlink, 2u);
  EXPECT_EQ(Stat("/f").stx_ino, Stat("/g").stx_ino);
  Put("/g", "two");
  EXPECT_EQ(Contents("/f"), "two");
  EXPECT_THAT(Rename(root, "/f", "/g"), Succeeds());  // two names of one file: nothing happens
  EXPECT_THAT(Find(root, "/f"), Succeeds());
  EXPECT_THAT(Remove(root, "/f"), Succeeds());
  EXPECT_EQ(Stat("/g").stx_nlink, 1u);
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  EXPECT_THAT(Link("/d", "/e"), FailsWith(Errno::kPerm));
  EXPECT_THAT(Link("/g", "/d"), FailsWith(Errno::kExist));
}

TEST_F(NamesTest, DirectoryLinkCounts) {
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  EXPECT_EQ(Stat("/d").stx_nlink, 2u);
  ASSERT_THAT(Mkdir(root, "/d/e"), Succeeds());
  EXPECT_EQ(Stat("/d").stx_nlink, 3u);
  EXPECT_EQ(Stat("/").stx_nlink, 3u);
  ASSERT_THAT(Rename(root, "/d/e", "/e"), Succeeds());
  EXPECT_EQ(Stat("/d").stx_nlink, 2u);
  EXPECT_EQ(Stat("/").stx_nlink, 4u);
}

TEST_F(NamesTest, RenameRules) {
  ASSERT_THAT(Mkdir(root, "/a"), Succeeds());
  ASSERT_THAT(Mkdir(root, "/a/b"), Succeeds());
  Put("/f", "f");
  Put("/g", "g");
  EXPECT_THAT(Rename(root, "/a", "/a/b/c"), FailsWith(Errno::kInval));
  EXPECT_THAT(Rename(root, "/a/b", "/a"), FailsWith(Errno::kNotEmpty));
  EXPECT_THAT(Rename(root, "/f", "/a"), FailsWith(Errno::kIsDir));
  EXPECT_THAT(Rename(root, "/a", "/f"), FailsWith(Errno::kNotDir));
  EXPECT_THAT(Rename(root, "/f/", "/h"), FailsWith(Errno::kNotDir));
  EXPECT_THAT(Rename(root, "/f", "/h/"), FailsWith(Errno::kNotDir));
  EXPECT_THAT(Rename(root, "/no", "/h"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Rename(root, "/a/.", "/h"), FailsWith(Errno::kBusy));
  EXPECT_THAT(Rename(root, "/f", "/g", RENAME_NOREPLACE), FailsWith(Errno::kExist));
  EXPECT_THAT(Rename(root, "/f", "/g", RENAME_EXCHANGE), Succeeds());
  EXPECT_EQ(Contents("/f"), "g");
  EXPECT_EQ(Contents("/g"), "f");
  EXPECT_THAT(Rename(root, "/f", "/g"), Succeeds());
  EXPECT_EQ(Contents("/g"), "g");
  EXPECT_THAT(Find(root, "/f"), FailsWith(Errno::kNoEnt));
  ASSERT_THAT(Mkdir(root, "/empty"), Succeeds());
  EXPECT_THAT(Rename(root, "/a/b/", "/empty/"), Succeeds());
  EXPECT_THAT(List("/"), ElementsAre(".", "..", "a", "g", "empty"));
  EXPECT_THAT(Rename(root, "/g", "/h", RENAME_WHITEOUT), Succeeds());
  EXPECT_TRUE(S_ISCHR(Stat("/g").stx_mode));
}

TEST_F(NamesTest, ExchangeOfDirectoriesAcrossDirectories) {
  ASSERT_THAT(Mkdir(root, "/a"), Succeeds());
  ASSERT_THAT(Mkdir(root, "/a/x"), Succeeds());
  Put("/f", "f");
  EXPECT_THAT(Rename(root, "/a/x", "/f", RENAME_EXCHANGE), Succeeds());
  EXPECT_EQ(Contents("/a/x"), "f");
  EXPECT_EQ(Stat("/a").stx_nlink, 2u);
  EXPECT_EQ(vfs::PathText(*mounts, root.root, At("/f")), "/f");
}

TEST_F(NamesTest, UnnamedFiles) {
  const auto file = Open(root, "/", O_TMPFILE | O_RDWR, 0600);
  ASSERT_THAT(file, Succeeds());
  EXPECT_THAT(Write(**file, "data"), Succeeds());
  EXPECT_EQ(vfs::Stat((*file)->path())->stx_nlink, 0u);
  EXPECT_THAT(List("/"), ElementsAre(".", ".."));
  EXPECT_THAT(vfs::MakeLink(root, (*file)->path(), root.cwd, "/named"), Succeeds());
  EXPECT_EQ(Contents("/named"), "data");
  EXPECT_THAT(Open(root, "/", O_TMPFILE | O_RDONLY, 0600), FailsWith(Errno::kInval));
}

TEST_F(NamesTest, ReadersKeepTheirPlaceWhileEntriesGo) {
  for (int i = 0; i < 10; ++i) Put("/n" + std::to_string(i), "");
  const auto file = Open(root, "/", O_RDONLY | O_DIRECTORY);
  std::vector<std::string> names;
  const auto take_some = [&](size_t up_to) {
    EXPECT_THAT((*file)->AsDirectory()->ReadDir([&](const vfs::DirectoryFile::Entry& entry) {
      if (names.size() == up_to) return false;
      names.emplace_back(entry.name);
      return true;
    }),
                Succeeds());
  };
  take_some(5);
  EXPECT_THAT(Remove(root, "/n0"), Succeeds());
  EXPECT_THAT(Remove(root, "/n3"), Succeeds());
  take_some(100);
  EXPECT_THAT(names, ElementsAre(".", "..", "n0", "n1", "n2", "n4", "n5", "n6", "n7", "n8", "n9"));
  EXPECT_EQ((*file)->Seek(0, SEEK_SET).value(), 0);
}

}  // namespace
}  // namespace cloister::tmp
