#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// rename(2), renameat2(2).
namespace cloister::tests {
namespace {

class RenameTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  std::string In(const std::string& name) const { return dir_.File(name); }
  int Rename(const std::string& from, const std::string& to) const {
    return rename(In(from).c_str(), In(to).c_str());
  }
  long Rename2(const std::string& from, const std::string& to, unsigned flags) const {
    return syscall(SYS_renameat2, AT_FDCWD, In(from).c_str(), AT_FDCWD, In(to).c_str(), flags);
  }
};

TEST_F(RenameTest, FileToANewName) {
  const TestFd fd = Open(dir_.WithFile("a", "text"), O_RDONLY);
  EXPECT_THAT(Rename("a", "b"), SyscallSucceeds());
  EXPECT_FALSE(Exists(In("a")));
  EXPECT_EQ(ReadFile(In("b")), "text");
  EXPECT_EQ(ReadAll(fd.get()), "text");
}

TEST_F(RenameTest, ReplacesAFile) {
  dir_.WithFile("a", "new");
  const TestFd old = Open(dir_.WithFile("b", "old"), O_RDONLY);
  EXPECT_THAT(Rename("a", "b"), SyscallSucceeds());
  EXPECT_EQ(ReadFile(In("b")), "new");
  EXPECT_EQ(ReadAll(old.get()), "old");
  struct stat info;
  ASSERT_THAT(fstat(old.get(), &info), SyscallSucceeds());
  EXPECT_EQ(info.st_nlink, 0u);
}

TEST_F(RenameTest, LinksToTheSameFileStay) {
  dir_.WithFile("a");
  ASSERT_THAT(link(In("a").c_str(), In("b").c_str()), SyscallSucceeds());
  EXPECT_THAT(Rename("a", "b"), SyscallSucceeds());
  EXPECT_TRUE(Exists(In("a")));
  EXPECT_THAT(Rename("a", "a"), SyscallSucceeds());
}

TEST_F(RenameTest, Directories) {
  dir_.WithDirectory("d");
  dir_.WithFile("d/file", "x");
  dir_.WithDirectory("empty");
  EXPECT_THAT(Rename("d", "empty"), SyscallSucceeds());
  EXPECT_EQ(ReadFile(In("empty/file")), "x");
  dir_.WithDirectory("other");
  EXPECT_THAT(Rename("other", "empty"), SyscallFailsWithErrno(ENOTEMPTY));
  EXPECT_THAT(Rename("empty", "empty/sub"), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Rename("empty/file", "other"), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(Rename("other", "empty/file"), SyscallFailsWithErrno(ENOTDIR));
}

TEST_F(RenameTest, DirectoryToAnotherParentKnowsItsNewParent) {
  dir_.WithDirectory("from");
  dir_.WithDirectory("to");
  dir_.WithDirectory("from/d");
  EXPECT_THAT(Rename("from/d", "to/d"), SyscallSucceeds());
  struct stat up, to;
  ASSERT_THAT(stat(In("to/d/..").c_str(), &up), SyscallSucceeds());
  ASSERT_THAT(stat(In("to").c_str(), &to), SyscallSucceeds());
  EXPECT_EQ(up.st_ino, to.st_ino);
}

TEST_F(RenameTest, WorkingDirectoryMoves) {
  dir_.WithDirectory("d");
  EXPECT_THAT(InChild([this] {
                CHILD_CHECK(chdir(In("d").c_str()) == 0);
                CHILD_CHECK(Rename("d", "moved") == 0);
                char buffer[256];
                CHILD_CHECK(getcwd(buffer, sizeof buffer) != nullptr && In("moved") == buffer);
              }),
              ExitedWith(0));
}

TEST_F(RenameTest, Errors) {
  dir_.WithFile("a");
  EXPECT_THAT(Rename("none", "b"), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Rename("a", "none/b"), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Rename("a/", "b"), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(Rename("a", "b/"), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(Rename("a", std::string(256, 'x')), SyscallFailsWithErrno(ENAMETOOLONG));
  EXPECT_THAT(Rename(".", "b"), SyscallFailsWithErrno(EBUSY));
  EXPECT_THAT(rename(BadPointer<char>(), In("b").c_str()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(rename(In("a").c_str(), BadPointer<char>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(rename(In("a").c_str(), "/proc/b"), SyscallFailsWithErrno(EXDEV));
  // What is wrong with the way to the old name is told before the new one is looked at.
  EXPECT_THAT(renameat(AT_FDCWD, "/none/a", -1, "b"), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(renameat(AT_FDCWD, "none", -1, "b"), SyscallFailsWithErrno(EBADF));
}

TEST_F(RenameTest, NoReplace) {
  dir_.WithFile("a", "a");
  dir_.WithFile("b", "b");
  EXPECT_THAT(Rename2("a", "b", RENAME_NOREPLACE), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(Rename2("a", "c", RENAME_NOREPLACE), SyscallSucceeds());
  EXPECT_EQ(ReadFile(In("c")), "a");
}

TEST_F(RenameTest, Exchange) {
  dir_.WithFile("a", "a");
  dir_.WithDirectory("d");
  EXPECT_THAT(Rename2("a", "d", RENAME_EXCHANGE), SyscallSucceeds());
  EXPECT_EQ(ReadFile(In("d")), "a");
  EXPECT_THAT(rmdir(In("a").c_str()), SyscallSucceeds());
  EXPECT_THAT(Rename2("d", "none", RENAME_EXCHANGE), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Rename2("d", "x", RENAME_EXCHANGE | RENAME_NOREPLACE), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Rename2("d", "x", 1u << 20), SyscallFailsWithErrno(EINVAL));
}

TEST_F(RenameTest, SymbolicLinkItselfMoves) {
  ASSERT_THAT(symlink("target", In("link").c_str()), SyscallSucceeds());
  dir_.WithFile("target", "t");
  dir_.WithFile("new", "n");
  EXPECT_THAT(Rename("new", "link"), SyscallSucceeds());
  EXPECT_EQ(ReadFile(In("link")), "n");
  EXPECT_EQ(ReadFile(In("target")), "t");
}

TEST_F(RenameTest, StickyDirectory) {
  dir_.WithDirectory("sticky", 01777);
  dir_.WithFile("sticky/of-root", "r");
  EXPECT_THAT(InChild([this] {
                BecomeUser(1234, 1234);
                CHILD_CHECK(Rename("sticky/of-root", "sticky/mine") == -1 && errno == EPERM);
                CHILD_CHECK(unlink(In("sticky/of-root").c_str()) == -1 && errno == EPERM);
                CHILD_CHECK(close(open(In("sticky/own").c_str(), O_CREAT | O_RDWR, 0600)) == 0);
                CHILD_CHECK(Rename("sticky/own", "sticky/mine") == 0);
                CHILD_CHECK(unlink(In("sticky/mine").c_str()) == 0);
              }),
              ExitedWith(0));
}

TEST_F(RenameTest, RelativeToDirectories) {
  dir_.WithDirectory("from");
  dir_.WithDirectory("to");
  dir_.WithFile("from/a", "x");
  const TestFd from = Open(In("from"), O_RDONLY), to = Open(In("to"), O_PATH);
  EXPECT_THAT(renameat(from.get(), "a", to.get(), "b"), SyscallSucceeds());
  EXPECT_EQ(ReadFile(In("to/b")), "x");
  EXPECT_THAT(renameat(-1, "a", to.get(), "b"), SyscallFailsWithErrno(EBADF));
}

}  // namespace
}  // namespace cloister::tests
