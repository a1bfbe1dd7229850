#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// mkdir(2), rmdir(2), getdents64(2), link(2), unlink(2), symlink(2), readlink(2), chdir(2), getcwd(2),
// chroot(2), mknod(2).
namespace cloister::tests {
namespace {

class DirTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  std::string In(const std::string& name) const { return dir_.File(name); }
};

// All entries, through a buffer of this size.
std::vector<std::string> Entries(int fd, size_t size) {
  std::vector<std::string> names;
  std::string buffer(size, 0);
  for (;;) {
    const long got = syscall(SYS_getdents64, fd, buffer.data(), buffer.size());
    EXPECT_THAT(got, SyscallSucceeds());
    if (got <= 0) return names;
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      names.emplace_back(entry->d_name);
      EXPECT_EQ(entry->d_reclen % 8, 0);
      at += entry->d_reclen;
    }
  }
}

TEST_F(DirTest, MakeAndRemove) {
  const mode_t old = umask(022);
  EXPECT_THAT(mkdir(In("d").c_str(), 0777), SyscallSucceeds());
  umask(old);
  struct stat info;
  ASSERT_THAT(stat(In("d").c_str(), &info), SyscallSucceeds());
  EXPECT_EQ(info.st_mode, S_IFDIR | 0755u);
  EXPECT_THAT(mkdir(In("d").c_str(), 0777), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mkdir(In("none/d").c_str(), 0777), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mkdir(In("d/sub/").c_str(), 0777), SyscallSucceeds());
  EXPECT_THAT(rmdir(In("d").c_str()), SyscallFailsWithErrno(ENOTEMPTY));
  EXPECT_THAT(rmdir(In("d/sub").c_str()), SyscallSucceeds());
  EXPECT_THAT(rmdir(In("d").c_str()), SyscallSucceeds());
  EXPECT_THAT(rmdir(In("d").c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mkdir(BadPointer<char>(), 0777), SyscallFailsWithErrno(EFAULT));
}

TEST_F(DirTest, RemoveOddNames) {
  dir_.WithDirectory("d");
  dir_.WithFile("f");
  EXPECT_THAT(rmdir(In("d/.").c_str()), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(rmdir(In("d/..").c_str()), SyscallFailsWithErrno(ENOTEMPTY));
  EXPECT_THAT(rmdir(In("f").c_str()), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(unlink(In("d").c_str()), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(unlink(In("f/").c_str()), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(rmdir("/"), SyscallFailsWithErrno(EBUSY));
  const TestFd at = Open(dir_.path(), O_RDONLY);
  EXPECT_THAT(unlinkat(at.get(), "d", AT_REMOVEDIR), SyscallSucceeds());
  EXPECT_THAT(unlinkat(at.get(), "f", 0x8000), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(unlinkat(at.get(), "f", 0), SyscallSucceeds());
}

TEST_F(DirTest, LinkCountOfADirectory) {
  struct stat info;
  dir_.WithDirectory("d");
  dir_.WithDirectory("d/a");
  dir_.WithDirectory("d/b");
  ASSERT_THAT(stat(In("d").c_str(), &info), SyscallSucceeds());
  if (info.st_nlink == 1) GTEST_SKIP() << "this file system does not count";
  EXPECT_EQ(info.st_nlink, 4u);
  rmdir(In("d/a").c_str());
  ASSERT_THAT(stat(In("d").c_str(), &info), SyscallSucceeds());
  EXPECT_EQ(info.st_nlink, 3u);
}

TEST_F(DirTest, EntriesThroughSmallAndLargeBuffers) {
  std::multiset<std::string> want = {".", ".."};
  for (int i = 0; i < 200; ++i)
    want.insert(dir_.WithFile("a-file-with-number-" + std::to_string(i)).substr(dir_.path().size() + 1));
  const TestFd fd = Open(dir_.path(), O_RDONLY | O_DIRECTORY);
  for (const size_t size : {64u, 280u, 4096u, 1u << 20}) {
    EXPECT_THAT(lseek(fd.get(), 0, SEEK_SET), SyscallSucceedsWithValue(0));
    const auto got = Entries(fd.get(), size);
    EXPECT_EQ(std::multiset<std::string>(got.begin(), got.end()), want) << size;
  }
}

TEST_F(DirTest, EntriesHaveTypesAndInodes) {
  dir_.WithFile("file");
  dir_.WithDirectory("dir");
  ASSERT_THAT(symlink("x", In("link").c_str()), SyscallSucceeds());
  ASSERT_THAT(mkfifo(In("fifo").c_str(), 0600), SyscallSucceeds());
  DIR* directory = opendir(dir_.path().c_str());
  ASSERT_NE(directory, nullptr);
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    struct stat info;
    ASSERT_THAT(lstat(In(name).c_str(), &info), SyscallSucceeds());
    if (name != "..") {
      EXPECT_EQ(entry->d_ino, info.st_ino) << name;
    }
    if (entry->d_type != DT_UNKNOWN) {
      EXPECT_EQ(entry->d_type, IFTODT(info.st_mode)) << name;
    }
  }
  closedir(directory);
}

TEST_F(DirTest, EntriesErrors) {
  const TestFd fd = Open(dir_.path(), O_RDONLY);
  const TestFd file = Open(dir_.WithFile("file"), O_RDONLY);
  char buffer[4096];
  EXPECT_THAT(syscall(SYS_getdents64, fd.get(), buffer, 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_getdents64, file.get(), buffer, sizeof buffer), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(syscall(SYS_getdents64, -1, buffer, sizeof buffer), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(syscall(SYS_getdents64, fd.get(), BadPointer(), sizeof buffer), SyscallFailsWithErrno(EFAULT));
}

TEST_F(DirTest, TellAndSeek) {
  for (int i = 0; i < 20; ++i) dir_.WithFile("f" + std::to_string(i));
  DIR* directory = opendir(dir_.path().c_str());
  ASSERT_NE(directory, nullptr);
  for (int i = 0; i < 7; ++i) ASSERT_NE(readdir(directory), nullptr);
  const long place = telldir(directory);
  const std::string eighth = readdir(directory)->d_name;
  while (readdir(directory) != nullptr) continue;
  seekdir(directory, place);
  EXPECT_EQ(readdir(directory)->d_name, eighth);
  closedir(directory);
}

TEST_F(DirTest, RemovedDirectoryIsEmptyAndTakesNothing) {
  const TestFd fd = Open(dir_.WithDirectory("d"), O_RDONLY);
  ASSERT_THAT(rmdir(In("d").c_str()), SyscallSucceeds());
  char buffer[256];
  const long got = syscall(SYS_getdents64, fd.get(), buffer, sizeof buffer);
  EXPECT_TRUE(got == 0 || (got == -1 && errno == ENOENT));
  EXPECT_THAT(openat(fd.get(), "x", O_CREAT | O_RDWR, 0600), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mkdirat(fd.get(), "x", 0700), SyscallFailsWithErrno(ENOENT));
}

TEST_F(DirTest, HardLinks) {
  const std::string file = dir_.WithFile("file", "same");
  EXPECT_THAT(link(file.c_str(), In("other").c_str()), SyscallSucceeds());
  EXPECT_EQ(ReadFile(In("other")), "same");
  EXPECT_THAT(link(file.c_str(), In("other").c_str()), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(link(In("none").c_str(), In("x").c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(link(dir_.WithDirectory("d").c_str(), In("x").c_str()), SyscallFailsWithErrno(EPERM));
  ASSERT_THAT(symlink("file", In("link").c_str()), SyscallSucceeds());
  EXPECT_THAT(link(In("link").c_str(), In("hard").c_str()), SyscallSucceeds());
  struct stat info;
  ASSERT_THAT(lstat(In("hard").c_str(), &info), SyscallSucceeds());
  EXPECT_TRUE(S_ISLNK(info.st_mode));
  EXPECT_THAT(linkat(AT_FDCWD, In("link").c_str(), AT_FDCWD, In("followed").c_str(), AT_SYMLINK_FOLLOW),
              SyscallSucceeds());
  ASSERT_THAT(lstat(In("followed").c_str(), &info), SyscallSucceeds());
  EXPECT_TRUE(S_ISREG(info.st_mode));
}

TEST_F(DirTest, SymbolicLinks) {
  EXPECT_THAT(symlink("target", In("link").c_str()), SyscallSucceeds());
  char text[16];
  memset(text, '#', sizeof text);
  EXPECT_THAT(readlink(In("link").c_str(), text, sizeof text), SyscallSucceedsWithValue(6));
  EXPECT_EQ(std::string(text, 7), "target#");  // no terminating zero
  EXPECT_THAT(readlink(In("link").c_str(), text, 3), SyscallSucceedsWithValue(3));
  EXPECT_THAT(syscall(SYS_readlink, In("link").c_str(), text, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(readlink(dir_.path().c_str(), text, sizeof text), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(readlink(In("none").c_str(), text, sizeof text), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(readlink(In("link").c_str(), BadPointer<char>(), 16), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(symlink("x", In("link").c_str()), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(symlink("", In("empty").c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(symlink(std::string(PATH_MAX, 'x').c_str(), In("long").c_str()),
              SyscallFailsWithErrno(ENAMETOOLONG));
}

TEST_F(DirTest, LinksInTheMiddleOfAPath) {
  dir_.WithDirectory("real");
  dir_.WithFile("real/file", "found");
  ASSERT_THAT(symlink("real", In("relative").c_str()), SyscallSucceeds());
  ASSERT_THAT(symlink(dir_.path().c_str(), In("real/back").c_str()), SyscallSucceeds());
  EXPECT_EQ(ReadFile(In("relative/back/real/../relative/./file")), "found");
}

TEST_F(DirTest, ChangeDirectory) {
  EXPECT_THAT(
      InChild([this] {
        dir_.WithDirectory("d");
        char buffer[PATH_MAX];
        CHILD_CHECK(chdir(In("d").c_str()) == 0);
        CHILD_CHECK(getcwd(buffer, sizeof buffer) != nullptr && In("d") == buffer);
        CHILD_CHECK(chdir("..") == 0 && getcwd(buffer, sizeof buffer) != nullptr && dir_.path() == buffer);
        CHILD_CHECK(chdir("none") == -1 && errno == ENOENT);
        dir_.WithFile("file");
        CHILD_CHECK(chdir("file") == -1 && errno == ENOTDIR);
        const int fd = open("d", O_RDONLY);
        CHILD_CHECK(fchdir(fd) == 0 && getcwd(buffer, sizeof buffer) != nullptr && In("d") == buffer);
        CHILD_CHECK(fchdir(-1) == -1 && errno == EBADF);
        CHILD_CHECK(rmdir(In("d").c_str()) == 0);
        CHILD_CHECK(syscall(SYS_getcwd, buffer, sizeof buffer) == -1 && errno == ENOENT);
        CHILD_CHECK(open("x", O_CREAT | O_RDWR, 0600) == -1 && errno == ENOENT);
        CHILD_CHECK(chdir("..") == 0 && getcwd(buffer, sizeof buffer) != nullptr && dir_.path() == buffer);
      }),
      ExitedWith(0));
}

TEST_F(DirTest, GetcwdErrors) {
  char buffer[PATH_MAX];
  EXPECT_THAT(syscall(SYS_getcwd, buffer, 1), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(syscall(SYS_getcwd, BadPointer(), sizeof buffer), SyscallFailsWithErrno(EFAULT));
  ASSERT_NE(getcwd(buffer, sizeof buffer), nullptr);
  char again[PATH_MAX];
  EXPECT_THAT(syscall(SYS_getcwd, again, sizeof again), SyscallSucceedsWithValue(long(strlen(buffer) + 1)));
}

TEST_F(DirTest, GetcwdOfADeepDirectory) {
  const std::string name(100, 'd');
  constexpr int kDepth = PATH_MAX / 100 + 1;
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(chdir(dir_.path().c_str()) == 0);
                for (int i = 0; i < kDepth; ++i)
                  CHILD_CHECK(mkdir(name.c_str(), 0755) == 0 && chdir(name.c_str()) == 0);
                char buffer[2 * PATH_MAX];
                CHILD_CHECK(syscall(SYS_getcwd, buffer, sizeof buffer) == -1 && errno == ENAMETOOLONG);
                for (int i = 0; i < kDepth; ++i) CHILD_CHECK(chdir("..") == 0 && rmdir(name.c_str()) == 0);
              }),
              ExitedWith(0));
}

TEST_F(DirTest, ChangeRoot) {
  dir_.WithDirectory("jail");
  dir_.WithFile("jail/inside", "in");
  ASSERT_THAT(symlink("/inside", In("jail/link").c_str()), SyscallSucceeds());
  EXPECT_THAT(InChild([this] {
                CHILD_CHECK(chroot(In("jail").c_str()) == 0);
                CHILD_CHECK(chdir("/") == 0);
                CHILD_CHECK(access("/inside", F_OK) == 0 && access("../../inside", F_OK) == 0);
                CHILD_CHECK(access("/link", F_OK) == 0);
                CHILD_CHECK(access(dir_.path().c_str(), F_OK) == -1 && errno == ENOENT);
                char buffer[16];
                CHILD_CHECK(getcwd(buffer, sizeof buffer) != nullptr && strcmp(buffer, "/") == 0);
              }),
              ExitedWith(0));
  EXPECT_THAT(InChild([this] {
                BecomeUser(1234, 1234);
                CHILD_CHECK(chroot(In("jail").c_str()) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST_F(DirTest, MakeNodes) {
  EXPECT_THAT(mknod(In("plain").c_str(), S_IFREG | 0600, 0), SyscallSucceeds());
  EXPECT_THAT(mknod(In("typeless").c_str(), 0600, 0), SyscallSucceeds());
  EXPECT_THAT(mknod(In("fifo").c_str(), S_IFIFO | 0600, 0), SyscallSucceeds());
  EXPECT_THAT(mknod(In("plain").c_str(), S_IFREG | 0600, 0), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mknod(In("dir").c_str(), S_IFDIR | 0600, 0), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(mknod(In("odd").c_str(), 0160000, 0), SyscallFailsWithErrno(EINVAL));
  struct stat info;
  ASSERT_THAT(lstat(In("typeless").c_str(), &info), SyscallSucceeds());
  EXPECT_TRUE(S_ISREG(info.st_mode));
}

// What rm -r does: each entry goes as it is read, and none is missed.
TEST_F(DirTest, EntriesMayGoWhileTheyAreRead) {
  constexpr int kNames = 400;
  const std::string sub = dir_.WithDirectory("sub");
  for (int i = 0; i < kNames; ++i) dir_.WithFile("sub/a-longer-name-" + std::to_string(i));
  const TestFd fd = Open(sub, O_RDONLY | O_DIRECTORY);
  int gone = 0;
  std::string buffer(1024, 0);
  for (;;) {
    const long got = syscall(SYS_getdents64, fd.get(), buffer.data(), buffer.size());
    ASSERT_THAT(got, SyscallSucceeds());
    if (got == 0) break;
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      if (entry->d_type == DT_DIR) continue;
      ASSERT_THAT(unlinkat(fd.get(), entry->d_name, 0), SyscallSucceeds());
      ++gone;
    }
  }
  EXPECT_EQ(gone, kNames);
  EXPECT_THAT(rmdir(sub.c_str()), SyscallSucceeds());
}

TEST_F(DirTest, ManyNames) {
  constexpr int kNames = 500;
  for (int i = 0; i < kNames; ++i) dir_.WithFile(std::to_string(i));
  EXPECT_EQ(List(dir_.path()).size(), size_t{kNames});
  for (int i = 0; i < kNames; i += 2) ASSERT_THAT(unlink(In(std::to_string(i)).c_str()), SyscallSucceeds());
  EXPECT_EQ(List(dir_.path()).size(), size_t{kNames} / 2);
}

}  // namespace
}  // namespace cloister::tests
