#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// open(2), openat(2), creat(2), openat2(2), close(2).
namespace cloister::tests {
namespace {

class OpenTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const std::string file_ = dir_.WithFile("file", "text");

  int OpenAt2(const std::string& path, uint64_t flags, uint64_t resolve, uint64_t mode = 0) const {
    const TestFd at = Open(dir_.path(), O_PATH | O_DIRECTORY);
    open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return static_cast<int>(syscall(SYS_openat2, at.get(), path.c_str(), &how, sizeof how));
  }
};

// Closes what was opened; for calls that are judged by success alone.
int Closed(int fd) {
  if (fd >= 0) close(fd);
  return fd;
}

TEST_F(OpenTest, LowestDescriptorIsUsed) {
  TestFd a = Open(file_, O_RDONLY);
  const TestFd b = Open(file_, O_RDONLY);
  const int number = a.get();
  a.reset();
  const TestFd c = Open(file_, O_RDONLY);
  EXPECT_EQ(c.get(), number);
  EXPECT_NE(b.get(), c.get());
}

TEST_F(OpenTest, CreateAppliesModeAndUmask) {
  const mode_t old = umask(027);
  const TestFd fd = Open(dir_.File("new"), O_WRONLY | O_CREAT, 06777);
  umask(old);
  struct stat info;
  ASSERT_THAT(fstat(fd.get(), &info), SyscallSucceeds());
  EXPECT_EQ(info.st_mode, S_IFREG | 06750u);
  EXPECT_EQ(info.st_size, 0);
  EXPECT_EQ(info.st_nlink, 1u);
}

TEST_F(OpenTest, CreatorMayWriteAFileOfModeZero) {
  const TestFd fd = Open(dir_.File("new"), O_RDWR | O_CREAT | O_EXCL, 0);
  EXPECT_THAT(write(fd.get(), "x", 1), SyscallSucceedsWithValue(1));
}

TEST_F(OpenTest, ExclusiveCreate) {
  EXPECT_THAT(open(file_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600), SyscallFailsWithErrno(EEXIST));
  ASSERT_THAT(symlink("nowhere", dir_.File("dangling").c_str()), SyscallSucceeds());
  EXPECT_THAT(open(dir_.File("dangling").c_str(), O_CREAT | O_EXCL | O_RDWR, 0600),
              SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(Closed(open(dir_.File("dangling").c_str(), O_CREAT | O_RDWR, 0600)), SyscallSucceeds());
  EXPECT_TRUE(Exists(dir_.File("nowhere")));
}

TEST_F(OpenTest, Truncate) {
  {
    const TestFd fd = Open(file_, O_WRONLY | O_TRUNC);
  }
  EXPECT_EQ(ReadFile(file_), "");
  const TestFd made(creat(dir_.File("made").c_str(), 0600));
  EXPECT_THAT(
      fcntl(made.get(), F_GETFL),
      SyscallSucceedsWithValue(::testing::Truly([](int flags) { return (flags & O_ACCMODE) == O_WRONLY; })));
}

TEST_F(OpenTest, MissingAndNotADirectory) {
  EXPECT_THAT(open(dir_.File("none").c_str(), O_RDONLY), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(open(dir_.File("none/x").c_str(), O_RDWR | O_CREAT, 0600), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(open(dir_.File("file/x").c_str(), O_RDONLY), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(open(dir_.File("file/").c_str(), O_RDONLY), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(open("", O_RDONLY), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(open(BadPointer<char>(), O_RDONLY), SyscallFailsWithErrno(EFAULT));
}

TEST_F(OpenTest, NamesThatAreTooLong) {
  EXPECT_THAT(open(dir_.File(std::string(256, 'n')).c_str(), O_RDONLY), SyscallFailsWithErrno(ENAMETOOLONG));
  EXPECT_THAT(Closed(open(dir_.File(std::string(255, 'n')).c_str(), O_RDWR | O_CREAT, 0600)),
              SyscallSucceeds());
  std::string deep = dir_.path();
  while (deep.size() < 4096) deep += "/.";
  EXPECT_THAT(open(deep.c_str(), O_RDONLY), SyscallFailsWithErrno(ENAMETOOLONG));
  deep.resize(4095);
  EXPECT_THAT(Closed(open(deep.c_str(), O_RDONLY)), SyscallSucceeds());
}

TEST_F(OpenTest, Directories) {
  EXPECT_THAT(open(dir_.path().c_str(), O_WRONLY), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(open(dir_.path().c_str(), O_RDWR), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(open(dir_.path().c_str(), O_RDONLY | O_CREAT, 0600), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(open(file_.c_str(), O_RDONLY | O_DIRECTORY), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(Closed(open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY)), SyscallSucceeds());
}

TEST_F(OpenTest, NoFollow) {
  ASSERT_THAT(symlink("file", dir_.File("link").c_str()), SyscallSucceeds());
  EXPECT_THAT(open(dir_.File("link").c_str(), O_RDONLY | O_NOFOLLOW), SyscallFailsWithErrno(ELOOP));
  const TestFd fd = Open(dir_.File("link"), O_PATH | O_NOFOLLOW);
  struct stat info;
  EXPECT_THAT(fstat(fd.get(), &info), SyscallSucceeds());
  EXPECT_TRUE(S_ISLNK(info.st_mode));
  char target[16] = {};
  EXPECT_THAT(readlinkat(fd.get(), "", target, sizeof target), SyscallSucceedsWithValue(4));
  EXPECT_STREQ(target, "file");
}

TEST_F(OpenTest, LinkLoopsAndChains) {
  ASSERT_THAT(symlink("b", dir_.File("a").c_str()), SyscallSucceeds());
  ASSERT_THAT(symlink("a", dir_.File("b").c_str()), SyscallSucceeds());
  EXPECT_THAT(open(dir_.File("a").c_str(), O_RDONLY), SyscallFailsWithErrno(ELOOP));
  std::string target = "file";
  for (int i = 0; i < 41; ++i) {
    const std::string name = "chain" + std::to_string(i);
    ASSERT_THAT(symlink(target.c_str(), dir_.File(name).c_str()), SyscallSucceeds());
    target = name;
  }
  EXPECT_THAT(Closed(open(dir_.File("chain39").c_str(), O_RDONLY)),
              SyscallSucceeds());  // path_resolution(7): 40
  EXPECT_THAT(open(dir_.File("chain40").c_str(), O_RDONLY), SyscallFailsWithErrno(ELOOP));
}

TEST_F(OpenTest, PathDescriptorsDoLittle) {
  const TestFd fd = Open(file_, O_PATH);
  char byte;
  EXPECT_THAT(read(fd.get(), &byte, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fchmod(fd.get(), 0600), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(ftruncate(fd.get(), 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fcntl(fd.get(), F_GETFL), SyscallSucceedsWithValue(O_PATH));
  struct stat info;
  EXPECT_THAT(fstat(fd.get(), &info), SyscallSucceeds());
  EXPECT_THAT(Closed(open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), O_RDONLY)),
              SyscallSucceeds());
}

TEST_F(OpenTest, RelativeToADirectory) {
  const TestFd at = Open(dir_.path(), O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(ReadAll(TestFd(openat(at.get(), "file", O_RDONLY)).get()), "text");
  EXPECT_THAT(openat(at.get(), "none", O_RDONLY), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(openat(-1, "file", O_RDONLY), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(Closed(openat(-1, file_.c_str(), O_RDONLY)), SyscallSucceeds());
  const TestFd file = Open(file_, O_RDONLY);
  EXPECT_THAT(openat(file.get(), "x", O_RDONLY), SyscallFailsWithErrno(ENOTDIR));
}

TEST_F(OpenTest, TemporaryFileHasNoName) {
  const int fd = open(dir_.path().c_str(), O_TMPFILE | O_RDWR, 0600);
  if (fd < 0 && errno == EOPNOTSUPP) GTEST_SKIP() << "this file system has no O_TMPFILE";
  const TestFd file(fd);
  EXPECT_THAT(write(file.get(), "hidden", 6), SyscallSucceedsWithValue(6));
  struct stat info;
  ASSERT_THAT(fstat(file.get(), &info), SyscallSucceeds());
  EXPECT_EQ(info.st_nlink, 0u);
  EXPECT_EQ(List(dir_.path()).size(), 1u);
  const std::string self = "/proc/self/fd/" + std::to_string(file.get());
  EXPECT_THAT(linkat(AT_FDCWD, self.c_str(), AT_FDCWD, dir_.File("named").c_str(), AT_SYMLINK_FOLLOW),
              SyscallSucceeds());
  EXPECT_EQ(ReadFile(dir_.File("named")), "hidden");
  EXPECT_THAT(open(dir_.path().c_str(), O_TMPFILE | O_RDONLY, 0600), SyscallFailsWithErrno(EINVAL));
}

TEST_F(OpenTest, ExclusiveTemporaryFileNeverGetsAName) {
  const int fd = open(dir_.path().c_str(), O_TMPFILE | O_RDWR | O_EXCL, 0600);
  if (fd < 0 && errno == EOPNOTSUPP) GTEST_SKIP() << "this file system has no O_TMPFILE";
  const TestFd file(fd);
  const std::string self = "/proc/self/fd/" + std::to_string(file.get());
  EXPECT_THAT(linkat(AT_FDCWD, self.c_str(), AT_FDCWD, dir_.File("named").c_str(), AT_SYMLINK_FOLLOW),
              SyscallFailsWithErrno(ENOENT));
}

TEST_F(OpenTest, PermissionOfAnotherUser) {
  const std::string secret = dir_.WithFile("secret", "s", 0640);
  const std::string closed = dir_.WithDirectory("closed", 0700);
  EXPECT_THAT(InChild([&] {
                BecomeUser(1234, 1234);
                CHILD_CHECK(open(secret.c_str(), O_RDONLY) == -1 && errno == EACCES);
                CHILD_CHECK(open(file_.c_str(), O_RDONLY) >= 0);
                CHILD_CHECK(open(file_.c_str(), O_RDWR) == -1 && errno == EACCES);
                CHILD_CHECK(open(dir_.File("mine").c_str(), O_RDWR | O_CREAT, 0600) == -1 && errno == EACCES);
                CHILD_CHECK(open((closed + "/x").c_str(), O_RDONLY) == -1 && errno == EACCES);
                CHILD_CHECK(open(file_.c_str(), O_RDONLY | O_NOATIME) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST_F(OpenTest, Openat2Basics) {
  EXPECT_THAT(Closed(OpenAt2("file", O_RDONLY, 0)), SyscallSucceeds());
  EXPECT_THAT(Closed(OpenAt2("made", O_RDWR | O_CREAT, 0, 0600)), SyscallSucceeds());
  EXPECT_THAT(OpenAt2("file", O_RDONLY, 0, 0600), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(OpenAt2("file", uint64_t{1} << 40, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(OpenAt2("file", O_RDONLY, uint64_t{1} << 40), SyscallFailsWithErrno(EINVAL));
}

TEST_F(OpenTest, Openat2SizeOfTheStruct) {
  struct {
    open_how how;
    uint64_t future;
  } larger = {};
  EXPECT_THAT(syscall(SYS_openat2, AT_FDCWD, file_.c_str(), &larger, 8), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Closed(syscall(SYS_openat2, AT_FDCWD, file_.c_str(), &larger, sizeof larger)),
              SyscallSucceeds());
  larger.future = 1;
  EXPECT_THAT(syscall(SYS_openat2, AT_FDCWD, file_.c_str(), &larger, sizeof larger),
              SyscallFailsWithErrno(E2BIG));
  EXPECT_THAT(syscall(SYS_openat2, AT_FDCWD, file_.c_str(), BadPointer(), sizeof(open_how)),
              SyscallFailsWithErrno(EFAULT));
}

TEST_F(OpenTest, Openat2Resolve) {
  dir_.WithDirectory("sub");
  ASSERT_THAT(symlink("../file", dir_.File("sub/up").c_str()), SyscallSucceeds());
  ASSERT_THAT(symlink("/etc", dir_.File("absolute").c_str()), SyscallSucceeds());
  EXPECT_THAT(Closed(OpenAt2("sub/up", O_RDONLY, RESOLVE_BENEATH)), SyscallSucceeds());
  EXPECT_THAT(OpenAt2("..", O_RDONLY, RESOLVE_BENEATH), SyscallFailsWithErrno(EXDEV));
  EXPECT_THAT(OpenAt2("absolute", O_RDONLY, RESOLVE_BENEATH), SyscallFailsWithErrno(EXDEV));
  EXPECT_THAT(OpenAt2("/etc", O_RDONLY, RESOLVE_BENEATH), SyscallFailsWithErrno(EXDEV));
  EXPECT_THAT(OpenAt2("sub/up", O_RDONLY, RESOLVE_NO_SYMLINKS), SyscallFailsWithErrno(ELOOP));
  EXPECT_THAT(Closed(OpenAt2("/file", O_RDONLY, RESOLVE_IN_ROOT)), SyscallSucceeds());
  EXPECT_THAT(Closed(OpenAt2("../../file", O_RDONLY, RESOLVE_IN_ROOT)), SyscallSucceeds());
  EXPECT_THAT(OpenAt2("/proc/self/exe", O_RDONLY, RESOLVE_NO_MAGICLINKS), SyscallFailsWithErrno(ELOOP));
}

TEST_F(OpenTest, CloseOfAClosedDescriptor) {
  const int fd = open(file_.c_str(), O_RDONLY);
  EXPECT_THAT(close(fd), SyscallSucceeds());
  EXPECT_THAT(close(fd), SyscallFailsWithErrno(EBADF));
}

TEST_F(OpenTest, NameMadeAgainIsAnotherFile) {
  const TestFd old = Open(file_, O_RDWR);
  ASSERT_THAT(unlink(file_.c_str()), SyscallSucceeds());
  dir_.WithFile("file", "new");
  struct stat before, after;
  ASSERT_THAT(fstat(old.get(), &before), SyscallSucceeds());
  ASSERT_THAT(stat(file_.c_str(), &after), SyscallSucceeds());
  EXPECT_NE(before.st_ino, after.st_ino);
  EXPECT_EQ(before.st_nlink, 0u);
  const std::string self = "/proc/self/fd/" + std::to_string(old.get());
  EXPECT_THAT(linkat(AT_FDCWD, self.c_str(), AT_FDCWD, dir_.File("back").c_str(), AT_SYMLINK_FOLLOW),
              SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(fchmod(old.get(), 0640), SyscallSucceeds());
  EXPECT_THAT(ftruncate(old.get(), 1), SyscallSucceeds());
  ASSERT_THAT(fstat(old.get(), &before), SyscallSucceeds());
  EXPECT_EQ(before.st_mode & 07777, 0640u);
  EXPECT_EQ(before.st_size, 1);
  EXPECT_EQ(ReadFile(file_), "new");
}

TEST_F(OpenTest, UnlinkedFileLivesOn) {
  const TestFd fd = Open(file_, O_RDWR);
  EXPECT_THAT(unlink(file_.c_str()), SyscallSucceeds());
  EXPECT_THAT(pwrite(fd.get(), "TEXT!", 5, 0), SyscallSucceedsWithValue(5));
  EXPECT_EQ(ReadAll(fd.get()), "TEXT!");
  char name[256] = {};
  EXPECT_THAT(readlink(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), name, sizeof name - 1),
              SyscallSucceeds());
  EXPECT_EQ(std::string(name), file_ + " (deleted)");
}

}  // namespace
}  // namespace cloister::tests
