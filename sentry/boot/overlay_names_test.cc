#include <linux/fs.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "sentry/boot/overlay_fixture.h"

namespace cloister::overlay {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class OverlayNamesTest : public OverlayTest {};

TEST_F(OverlayNamesTest, DeleteAndRecreate) {
  Put("/f", "lower");
  Put("/g", "lower");
  Stack();
  EXPECT_THAT(Remove(root, "/f"), Succeeds());
  EXPECT_THAT(Find(root, "/f"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(List("/"), ElementsAre(".", "..", "g"));
  ForgetCache();
  EXPECT_THAT(Find(root, "/f"), FailsWith(Errno::kNoEnt));
  Put("/f", "new");
  EXPECT_EQ(Contents("/f"), "new");
  EXPECT_THAT(List("/"), UnorderedElementsAre(".", "..", "f", "g"));
  EXPECT_EQ(ListedIno("/", "f"), Ino("/f"));
  EXPECT_THAT(Remove(root, "/f"), Succeeds());
  ForgetCache();
  EXPECT_THAT(Find(root, "/f"), FailsWith(Errno::kNoEnt));
  EXPECT_EQ(ContentsBelow("/f"), "lower");
  // What the lower layer never had leaves no whiteout.
  Put("/n", "new");
  EXPECT_THAT(Remove(root, "/n"), Succeeds());
  EXPECT_THAT(Open(root, "/n", O_RDWR | O_CREAT | O_EXCL), Succeeds());
}

TEST_F(OverlayNamesTest, DirectoriesMerge) {
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  for (const char* name : {"/d/a", "/d/b", "/d/c"}) Put(name, "lower");
  Stack();
  Put("/d/n", "new");
  Put("/d/b", "upper");
  EXPECT_THAT(Remove(root, "/d/a"), Succeeds());
  EXPECT_THAT(List("/d"), ElementsAre(".", "..", "b", "c", "n"));
  EXPECT_THAT(Rmdir("/d"), FailsWith(Errno::kNotEmpty));
  for (const char* name : {"/d/b", "/d/c"}) EXPECT_THAT(Remove(root, name), Succeeds());
  EXPECT_THAT(Rmdir("/d"), FailsWith(Errno::kNotEmpty));
  EXPECT_THAT(Remove(root, "/d/n"), Succeeds());
  EXPECT_THAT(List("/d"), ElementsAre(".", ".."));
  EXPECT_THAT(Rmdir("/d"), Succeeds());
  EXPECT_THAT(Find(root, "/d"), FailsWith(Errno::kNoEnt));
  // Made anew it is opaque.
  EXPECT_THAT(Mkdir(root, "/d"), Succeeds());
  EXPECT_THAT(List("/d"), ElementsAre(".", ".."));
  EXPECT_THAT(Find(root, "/d/c"), FailsWith(Errno::kNoEnt));
}

TEST_F(OverlayNamesTest, RmdirLooksAtTheLowerDirectoryToo) {
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  Put("/d/f", "");
  Stack();
  EXPECT_THAT(Rmdir("/d"), FailsWith(Errno::kNotEmpty));
  EXPECT_THAT(Mkdir(root, "/e"), Succeeds());
  EXPECT_THAT(Rename(root, "/e", "/d"), FailsWith(Errno::kNotEmpty));
  EXPECT_THAT(Remove(root, "/d/f"), Succeeds());
  EXPECT_THAT(Rename(root, "/e", "/d"), Succeeds());
  EXPECT_THAT(List("/"), ElementsAre(".", "..", "d"));
}

TEST_F(OverlayNamesTest, DirectoryLinkCounts) {
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  ASSERT_THAT(Mkdir(root, "/d/low"), Succeeds());
  Stack();
  EXPECT_EQ(Stat("/d").stx_nlink, 3u);
  ASSERT_THAT(Mkdir(root, "/d/up"), Succeeds());
  EXPECT_EQ(Stat("/d").stx_nlink, 4u);
  ASSERT_THAT(Rename(root, "/d/low", "/low"), Succeeds());
  EXPECT_EQ(Stat("/d").stx_nlink, 3u);
  EXPECT_EQ(Stat("/").stx_nlink, 4u);
  ASSERT_THAT(Rmdir("/d/up"), Succeeds());
  EXPECT_EQ(Stat("/d").stx_nlink, 2u);
}

TEST_F(OverlayNamesTest, RenameOfLowerFiles) {
  Put("/a", "a");
  Put("/b", "b");
  Stack({.max_bytes = 4096, .mode = 0755});
  const uint64_t number = Ino("/a");
  EXPECT_THAT(Rename(root, "/a", "/c"), Succeeds());
  EXPECT_EQ(Contents("/c"), "a");
  EXPECT_EQ(Ino("/c"), number);
  EXPECT_THAT(Find(root, "/a"), FailsWith(Errno::kNoEnt));
  EXPECT_EQ(UpperPages(), 0u);
  EXPECT_THAT(Rename(root, "/c", "/b"), Succeeds());  // over a lower file
  EXPECT_EQ(Contents("/b"), "a");
  EXPECT_THAT(Rename(root, "/b", "/a"), Succeeds());  // over a whiteout, to where it came from
  EXPECT_EQ(Contents("/a"), "a");
  ForgetCache();
  EXPECT_EQ(Contents("/a"), "a");
  EXPECT_THAT(List("/"), ElementsAre(".", "..", "a"));
  EXPECT_THAT(Rename(root, "/a", "/b", RENAME_WHITEOUT), FailsWith(Errno::kInval));
  EXPECT_THAT(vfs::MakeNode(root, root.cwd, "/w", S_IFCHR, 0), FailsWith(Errno::kPerm));
}

TEST_F(OverlayNamesTest, RenameOfLowerDirectories) {
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  ASSERT_THAT(Mkdir(root, "/d/sub"), Succeeds());
  Put("/d/sub/f", "lower");
  Put("/d/g", "lower");
  ASSERT_THAT(Mkdir(root, "/other"), Succeeds());
  Stack();
  Put("/d/new", "upper");
  EXPECT_THAT(Rename(root, "/d", "/other/e"), Succeeds());
  ForgetCache();
  EXPECT_THAT(Find(root, "/d"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(List("/other/e"), ElementsAre(".", "..", "sub", "g", "new"));
  EXPECT_EQ(Contents("/other/e/sub/f"), "lower");
  Put("/other/e/sub/f", "upper");
  EXPECT_THAT(Mkdir(root, "/d"), Succeeds());
  EXPECT_THAT(List("/d"), ElementsAre(".", ".."));
  EXPECT_THAT(Rename(root, "/other/e/sub", "/d/sub"), Succeeds());
  EXPECT_EQ(Contents("/d/sub/f"), "upper");
  EXPECT_THAT(Rename(root, "/d", "/other/e/d"), Succeeds());
  EXPECT_EQ(Contents("/other/e/d/sub/f"), "upper");
  EXPECT_EQ(ContentsBelow("/d/sub/f"), "lower");
}

TEST_F(OverlayNamesTest, Exchange) {
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  Put("/d/f", "lower");
  Stack();
  Put("/n", "new");
  EXPECT_THAT(Rename(root, "/d", "/n", RENAME_EXCHANGE), Succeeds());
  ForgetCache();
  EXPECT_EQ(Contents("/d"), "new");
  EXPECT_EQ(Contents("/n/f"), "lower");
  EXPECT_THAT(Remove(root, "/d"), Succeeds());
  ForgetCache();
  EXPECT_THAT(Find(root, "/d"), FailsWith(Errno::kNoEnt));
}

TEST_F(OverlayNamesTest, LowerHardLinksStayTogether) {
  Put("/a", "lower");
  ASSERT_THAT(Link("/a", "/b"), Succeeds());
  ASSERT_THAT(Link("/a", "/c"), Succeeds());
  Stack();
  EXPECT_EQ(Stat("/a").stx_nlink, 3u);
  Put("/a", "upper");
  EXPECT_EQ(Contents("/b"), "upper");
  EXPECT_EQ(Ino("/a"), Ino("/b"));
  EXPECT_THAT(Remove(root, "/a"), Succeeds());
  ForgetCache();
  EXPECT_EQ(Contents("/c"), "upper");  // not looked at before
  EXPECT_EQ(Stat("/c").stx_nlink, 2u);
  EXPECT_THAT(Rename(root, "/b", "/c"), Succeeds());  // nothing happens
  EXPECT_THAT(Remove(root, "/b"), Succeeds());
  EXPECT_EQ(Stat("/c").stx_nlink, 1u);
  EXPECT_EQ(ContentsBelow("/a"), "lower");
}

TEST_F(OverlayNamesTest, LinkCountOfAnUnchangedFileOutlivesTheCache) {
  Put("/a", "lower");
  ASSERT_THAT(Link("/a", "/b"), Succeeds());
  Stack();
  EXPECT_THAT(Remove(root, "/a"), Succeeds());
  ForgetCache();
  EXPECT_EQ(Stat("/b").stx_nlink, 1u);
}

TEST_F(OverlayNamesTest, NewLinksToLowerFiles) {
  Put("/a", "lower");
  Stack();
  const uint64_t number = Ino("/a");
  ASSERT_THAT(Link("/a", "/b"), Succeeds());
  EXPECT_EQ(Stat("/a").stx_nlink, 2u);
  EXPECT_EQ(Ino("/b"), number);
  EXPECT_EQ(ListedIno("/", "b"), number);
  ForgetCache();
  Put("/b", "upper");
  EXPECT_EQ(Contents("/a"), "upper");
  EXPECT_THAT(Link("/b", "/a"), FailsWith(Errno::kExist));
}

TEST_F(OverlayNamesTest, UnnamedFiles) {
  Stack();
  const auto file = Open(root, "/", O_TMPFILE | O_RDWR, 0600);
  ASSERT_THAT(file, Succeeds());
  EXPECT_THAT(Write(**file, "data"), Succeeds());
  EXPECT_EQ(vfs::Stat((*file)->path())->stx_nlink, 0u);
  EXPECT_THAT(List("/"), ElementsAre(".", ".."));
  EXPECT_THAT(vfs::MakeLink(root, (*file)->path(), root.cwd, "/named"), Succeeds());
  EXPECT_EQ(Contents("/named"), "data");
  const auto never = Open(root, "/", O_TMPFILE | O_RDWR | O_EXCL, 0600);
  EXPECT_THAT(vfs::MakeLink(root, (*never)->path(), root.cwd, "/never"), FailsWith(Errno::kNoEnt));
}

TEST_F(OverlayNamesTest, ReadersKeepTheirPlaceWhileEntriesGo) {
  for (int i = 0; i < 10; ++i) Put("/n" + std::to_string(i), "");
  Stack();
  for (int i = 0; i < 5; ++i) Put("/u" + std::to_string(i), "");
  const auto file = Open(root, "/", O_RDONLY | O_DIRECTORY);
  std::vector<std::string> names;
  while (true) {
    const size_t before = names.size();
    ASSERT_THAT((*file)->AsDirectory()->ReadDir([&](const vfs::DirectoryFile::Entry& entry) {
      if (names.size() == before + 1) return false;
      names.emplace_back(entry.name);
      return true;
    }),
                Succeeds());
    if (names.size() == before) break;
    if (names.back()[0] == '.') continue;
    EXPECT_THAT(Remove(root, names.back()), Succeeds());
  }
  EXPECT_EQ(names.size(), 17u);
  EXPECT_THAT(List("/"), ElementsAre(".", ".."));
  EXPECT_THAT((*file)->Seek(0, SEEK_SET), Succeeds());
}

TEST_F(OverlayNamesTest, NothingIsLeftWhenTheMountGoes) {
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  Put("/d/f", std::string(100'000, 'x'));
  Stack({.max_bytes = 1 << 20, .mode = 0755});
  Put("/d/f", std::string(10'000, 'y'));
  Put("/d/n", std::string(10'000, 'y'));
  ASSERT_THAT(Rename(root, "/d", "/e"), Succeeds());
  ASSERT_GE(UpperPages(), 6u);
  above = nullptr;
  Enter(below);
  EXPECT_EQ(UpperPages(), 0u);
}

}  // namespace
}  // namespace cloister::overlay
