#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// stat(2), fstatat(2), statx(2), access(2), faccessat2(2), statfs(2).
namespace cloister::tests {
namespace {

class StatTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const std::string file_ = dir_.WithFile("file", "12345", 0640);

  struct stat Stat(const std::string& path) {
    struct stat info = {};
    EXPECT_THAT(lstat(path.c_str(), &info), SyscallSucceeds());
    return info;
  }
};

TEST_F(StatTest, RegularFile) {
  const struct stat info = Stat(file_);
  EXPECT_EQ(info.st_mode, S_IFREG | 0640u);
  EXPECT_EQ(info.st_size, 5);
  EXPECT_EQ(info.st_nlink, 1u);
  EXPECT_EQ(info.st_uid, getuid());
  EXPECT_EQ(info.st_gid, getgid());
  EXPECT_GT(info.st_blksize, 0);
  EXPECT_NE(info.st_ino, 0u);
  EXPECT_NEAR(static_cast<double>(info.st_mtime), static_cast<double>(time(nullptr)), 5);
}

TEST_F(StatTest, KindsOfFiles) {
  EXPECT_TRUE(S_ISDIR(Stat(dir_.path()).st_mode));
  ASSERT_THAT(symlink("file", dir_.File("link").c_str()), SyscallSucceeds());
  const struct stat link = Stat(dir_.File("link"));
  EXPECT_EQ(link.st_mode, S_IFLNK | 0777u);
  EXPECT_EQ(link.st_size, 4);
  ASSERT_THAT(mkfifo(dir_.File("fifo").c_str(), 0600), SyscallSucceeds());
  EXPECT_TRUE(S_ISFIFO(Stat(dir_.File("fifo")).st_mode));
  const struct stat null = Stat("/dev/null");
  EXPECT_TRUE(S_ISCHR(null.st_mode));
  EXPECT_EQ(null.st_rdev, makedev(1, 3));
}

TEST_F(StatTest, StatFollowsAndLstatDoesNot) {
  ASSERT_THAT(symlink("file", dir_.File("link").c_str()), SyscallSucceeds());
  struct stat info;
  ASSERT_THAT(stat(dir_.File("link").c_str(), &info), SyscallSucceeds());
  EXPECT_EQ(info.st_ino, Stat(file_).st_ino);
  EXPECT_NE(Stat(dir_.File("link")).st_ino, info.st_ino);
  ASSERT_THAT(symlink("none", dir_.File("dangling").c_str()), SyscallSucceeds());
  EXPECT_THAT(stat(dir_.File("dangling").c_str(), &info), SyscallFailsWithErrno(ENOENT));
}

TEST_F(StatTest, Errors) {
  struct stat info;
  EXPECT_THAT(stat(dir_.File("none").c_str(), &info), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(stat(dir_.File("file/x").c_str(), &info), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(stat(BadPointer<char>(), &info), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(stat(file_.c_str(), BadPointer<struct stat>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(fstat(-1, &info), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(stat("", &info), SyscallFailsWithErrno(ENOENT));
}

TEST_F(StatTest, FstatatFlags) {
  struct stat info;
  const TestFd at = Open(dir_.path(), O_RDONLY | O_DIRECTORY);
  EXPECT_THAT(fstatat(at.get(), "file", &info, 0), SyscallSucceeds());
  EXPECT_THAT(fstatat(at.get(), "", &info, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(fstatat(at.get(), "", &info, AT_EMPTY_PATH), SyscallSucceeds());
  EXPECT_TRUE(S_ISDIR(info.st_mode));
  EXPECT_THAT(fstatat(AT_FDCWD, "", &info, AT_EMPTY_PATH), SyscallSucceeds());
  EXPECT_THAT(syscall(SYS_newfstatat, at.get(), "file", &info, 0x8000), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fstatat(-1, "file", &info, 0), SyscallFailsWithErrno(EBADF));
}

TEST_F(StatTest, PipesAndSockets) {
  const Pipe pipe;
  struct stat reader, writer;
  ASSERT_THAT(fstat(pipe.read.get(), &reader), SyscallSucceeds());
  ASSERT_THAT(fstat(pipe.write.get(), &writer), SyscallSucceeds());
  EXPECT_TRUE(S_ISFIFO(reader.st_mode));
  EXPECT_EQ(reader.st_ino, writer.st_ino);
}

TEST_F(StatTest, LinkCounts) {
  ASSERT_THAT(link(file_.c_str(), dir_.File("second").c_str()), SyscallSucceeds());
  EXPECT_EQ(Stat(file_).st_nlink, 2u);
  EXPECT_EQ(Stat(file_).st_ino, Stat(dir_.File("second")).st_ino);
  ASSERT_THAT(unlink(file_.c_str()), SyscallSucceeds());
  EXPECT_EQ(Stat(dir_.File("second")).st_nlink, 1u);
}

TEST_F(StatTest, WritingChangesTheTimes) {
  const timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
  ASSERT_THAT(utimensat(AT_FDCWD, file_.c_str(), old, 0), SyscallSucceeds());
  const int64_t changed = Nanoseconds(Stat(file_).st_ctim);
  const TestFd fd = Open(file_, O_RDWR);
  ASSERT_THAT(write(fd.get(), "x", 1), SyscallSucceeds());
  const struct stat after = Stat(file_);
  EXPECT_GT(after.st_mtime, 2000);
  EXPECT_GE(Nanoseconds(after.st_ctim), changed);
  EXPECT_EQ(after.st_atime, 1000);
}

TEST_F(StatTest, Statx) {
  struct statx info = {};
  ASSERT_THAT(statx(AT_FDCWD, file_.c_str(), 0, STATX_BASIC_STATS | STATX_BTIME, &info), SyscallSucceeds());
  EXPECT_EQ(info.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  const struct stat old = Stat(file_);
  EXPECT_EQ(info.stx_ino, old.st_ino);
  EXPECT_EQ(info.stx_mode, old.st_mode);
  EXPECT_EQ(info.stx_size, 5u);
  EXPECT_EQ(makedev(info.stx_dev_major, info.stx_dev_minor), old.st_dev);
  EXPECT_EQ(info.stx_mtime.tv_sec, old.st_mtim.tv_sec);
  EXPECT_EQ(info.stx_mtime.tv_nsec, static_cast<uint32_t>(old.st_mtim.tv_nsec));
}

TEST_F(StatTest, StatxErrors) {
  struct statx info;
  EXPECT_THAT(statx(AT_FDCWD, file_.c_str(), 0, STATX__RESERVED, &info), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(statx(AT_FDCWD, file_.c_str(), AT_STATX_SYNC_TYPE, STATX_ALL, &info),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(statx(AT_FDCWD, "", 0, STATX_ALL, &info), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(statx(-1, "", AT_EMPTY_PATH, STATX_ALL, &info), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(statx(AT_FDCWD, file_.c_str(), 0, STATX_ALL, BadPointer<struct statx>()),
              SyscallFailsWithErrno(EFAULT));
}

TEST_F(StatTest, AccessAsRoot) {
  EXPECT_THAT(access(file_.c_str(), R_OK | W_OK), SyscallSucceeds());
  EXPECT_THAT(access(file_.c_str(), X_OK), SyscallFailsWithErrno(EACCES));  // not even root: no x bit at all
  EXPECT_THAT(access(dir_.path().c_str(), X_OK), SyscallSucceeds());
  EXPECT_THAT(access(file_.c_str(), F_OK), SyscallSucceeds());
  EXPECT_THAT(access(dir_.File("none").c_str(), F_OK), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(access(file_.c_str(), 8), SyscallFailsWithErrno(EINVAL));
}

TEST_F(StatTest, AccessUsesTheRealIds) {
  EXPECT_THAT(InChild([this] {
                CHILD_CHECK(setresuid(1234, 0, 0) == 0);
                CHILD_CHECK(access(file_.c_str(), W_OK) == -1 && errno == EACCES);
                CHILD_CHECK(syscall(SYS_faccessat2, AT_FDCWD, file_.c_str(), W_OK, AT_EACCESS) == 0);
              }),
              ExitedWith(0));
}

TEST_F(StatTest, FaccessatFlags) {
  ASSERT_THAT(symlink("none", dir_.File("dangling").c_str()), SyscallSucceeds());
  const std::string dangling = dir_.File("dangling");
  EXPECT_THAT(syscall(SYS_faccessat2, AT_FDCWD, dangling.c_str(), F_OK, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(syscall(SYS_faccessat2, AT_FDCWD, dangling.c_str(), F_OK, AT_SYMLINK_NOFOLLOW),
              SyscallSucceeds());
  EXPECT_THAT(syscall(SYS_faccessat2, AT_FDCWD, file_.c_str(), F_OK, 0x4000), SyscallFailsWithErrno(EINVAL));
  const TestFd fd = Open(file_, O_PATH);
  EXPECT_THAT(syscall(SYS_faccessat2, fd.get(), "", R_OK, AT_EMPTY_PATH), SyscallSucceeds());
}

TEST_F(StatTest, Statfs) {
  struct statfs by_name, by_fd;
  ASSERT_THAT(statfs(file_.c_str(), &by_name), SyscallSucceeds());
  const TestFd fd = Open(file_, O_RDONLY);
  ASSERT_THAT(fstatfs(fd.get(), &by_fd), SyscallSucceeds());
  EXPECT_EQ(by_name.f_type, by_fd.f_type);
  EXPECT_EQ(by_name.f_namelen, 255);
  EXPECT_GT(by_name.f_bsize, 0);
  EXPECT_GE(by_name.f_blocks, by_name.f_bfree);
  EXPECT_THAT(statfs(dir_.File("none").c_str(), &by_name), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(statfs(file_.c_str(), BadPointer<struct statfs>()), SyscallFailsWithErrno(EFAULT));
  ASSERT_THAT(statfs("/proc", &by_name), SyscallSucceeds());
  EXPECT_EQ(by_name.f_type, 0x9fa0);
}

}  // namespace
}  // namespace cloister::tests
