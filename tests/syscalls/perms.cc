#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <utime.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// chmod(2), chown(2), umask(2), utimensat(2), and what the permission bits of path_resolution(7) allow.
namespace cloister::tests {
namespace {

constexpr uid_t kUser = 1234, kOther = 4321;

class PermsTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const std::string file_ = dir_.WithFile("file", "text", 0644);

  struct stat Stat(const std::string& path) const {
    struct stat info = {};
    EXPECT_THAT(lstat(path.c_str(), &info), SyscallSucceeds());
    return info;
  }
  mode_t Mode(const std::string& path) const { return Stat(path).st_mode & 07777; }
};

TEST_F(PermsTest, ChangeMode) {
  EXPECT_THAT(chmod(file_.c_str(), 04751), SyscallSucceeds());
  EXPECT_EQ(Mode(file_), 04751u);
  const TestFd fd = Open(file_, O_RDONLY);
  EXPECT_THAT(fchmod(fd.get(), 0600), SyscallSucceeds());
  EXPECT_EQ(Mode(file_), 0600u);
  EXPECT_THAT(fchmodat(AT_FDCWD, file_.c_str(), 0170777, 0), SyscallSucceeds());
  EXPECT_EQ(Stat(file_).st_mode, S_IFREG | 0777u);
  EXPECT_THAT(chmod(dir_.File("none").c_str(), 0600), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(fchmod(-1, 0600), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(chmod(BadPointer<char>(), 0600), SyscallFailsWithErrno(EFAULT));
}

TEST_F(PermsTest, ModeFollowsLinks) {
  ASSERT_THAT(symlink("file", dir_.File("link").c_str()), SyscallSucceeds());
  EXPECT_THAT(chmod(dir_.File("link").c_str(), 0611), SyscallSucceeds());
  EXPECT_EQ(Mode(file_), 0611u);
}

TEST_F(PermsTest, OnlyTheOwnerChangesTheMode) {
  ASSERT_THAT(chown(file_.c_str(), kUser, kUser), SyscallSucceeds());
  EXPECT_THAT(InChild([this] {
                BecomeUser(kOther, kOther);
                CHILD_CHECK(chmod(file_.c_str(), 0777) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
  EXPECT_THAT(InChild([this] {
                BecomeUser(kUser, kUser);
                CHILD_CHECK(chmod(file_.c_str(), 0600) == 0);
              }),
              ExitedWith(0));
  EXPECT_EQ(Mode(file_), 0600u);
}

TEST_F(PermsTest, SetgidIsLostForAStrangersGroup) {
  ASSERT_THAT(chown(file_.c_str(), kUser, kOther), SyscallSucceeds());
  EXPECT_THAT(InChild([this] {
                BecomeUser(kUser, kUser);
                CHILD_CHECK(chmod(file_.c_str(), 02755) == 0);
              }),
              ExitedWith(0));
  EXPECT_EQ(Mode(file_), 0755u);
}

TEST_F(PermsTest, ChangeOwner) {
  EXPECT_THAT(chown(file_.c_str(), kUser, kOther), SyscallSucceeds());
  EXPECT_EQ(Stat(file_).st_uid, kUser);
  EXPECT_EQ(Stat(file_).st_gid, kOther);
  EXPECT_THAT(chown(file_.c_str(), -1, 7), SyscallSucceeds());
  EXPECT_EQ(Stat(file_).st_uid, kUser);
  EXPECT_EQ(Stat(file_).st_gid, 7u);
  const TestFd fd = Open(file_, O_RDONLY);
  EXPECT_THAT(fchown(fd.get(), 5, -1), SyscallSucceeds());
  EXPECT_EQ(Stat(file_).st_uid, 5u);
  EXPECT_THAT(fchownat(fd.get(), "", 6, 6, AT_EMPTY_PATH), SyscallSucceeds());
  EXPECT_EQ(Stat(file_).st_uid, 6u);
  EXPECT_THAT(chown(dir_.File("none").c_str(), 0, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(fchownat(AT_FDCWD, file_.c_str(), 0, 0, 0x8000), SyscallFailsWithErrno(EINVAL));
}

TEST_F(PermsTest, OwnerOfALink) {
  ASSERT_THAT(symlink("file", dir_.File("link").c_str()), SyscallSucceeds());
  EXPECT_THAT(lchown(dir_.File("link").c_str(), kUser, kUser), SyscallSucceeds());
  EXPECT_EQ(Stat(dir_.File("link")).st_uid, kUser);
  EXPECT_EQ(Stat(file_).st_uid, 0u);
}

TEST_F(PermsTest, OwnersMayOnlyGiveToTheirGroups) {
  ASSERT_THAT(chown(file_.c_str(), kUser, kUser), SyscallSucceeds());
  EXPECT_THAT(InChild([this] {
                const gid_t groups[] = {77};
                CHILD_CHECK(syscall(SYS_setgroups, 1, groups) == 0);
                CHILD_CHECK(setresgid(kUser, kUser, kUser) == 0 && setresuid(kUser, kUser, kUser) == 0);
                CHILD_CHECK(chown(file_.c_str(), -1, 77) == 0);
                CHILD_CHECK(chown(file_.c_str(), -1, 78) == -1 && errno == EPERM);
                CHILD_CHECK(chown(file_.c_str(), kOther, -1) == -1 && errno == EPERM);
                CHILD_CHECK(chown(file_.c_str(), kUser, -1) == 0);
              }),
              ExitedWith(0));
}

TEST_F(PermsTest, ChownAndWriteClearSetuid) {
  ASSERT_THAT(chmod(file_.c_str(), 06755), SyscallSucceeds());
  ASSERT_THAT(chown(file_.c_str(), kUser, kUser), SyscallSucceeds());
  EXPECT_EQ(Mode(file_), 0755u);
  ASSERT_THAT(chmod(file_.c_str(), 06777), SyscallSucceeds());
  EXPECT_THAT(InChild([this] {
                BecomeUser(kOther, kOther);
                const int fd = open(file_.c_str(), O_WRONLY);
                CHILD_CHECK(fd >= 0 && write(fd, "x", 1) == 1);
              }),
              ExitedWith(0));
  EXPECT_EQ(Mode(file_), 0777u);
}

TEST_F(PermsTest, Umask) {
  const mode_t old = umask(0);
  EXPECT_EQ(umask(0127), 0u);
  EXPECT_EQ(umask(01777 | 0x1000), 0127u);
  EXPECT_EQ(umask(077), 0777u);  // only the lower nine bits
  EXPECT_THAT(InChild([] { CHILD_CHECK(umask(0) == 077); }), ExitedWith(0));
  EXPECT_EQ(umask(old), 077u);
}

TEST_F(PermsTest, SearchOfDirectories) {
  dir_.WithDirectory("d", 0711);
  dir_.WithFile("d/known", "k", 0644);
  EXPECT_THAT(InChild([this] {
                BecomeUser(kUser, kUser);
                CHILD_CHECK(open(dir_.File("d").c_str(), O_RDONLY) == -1 && errno == EACCES);
                CHILD_CHECK(open(dir_.File("d/known").c_str(), O_RDONLY) >= 0);
                CHILD_CHECK(access(dir_.File("d/none").c_str(), F_OK) == -1 && errno == ENOENT);
                CHILD_CHECK(mkdir(dir_.File("d/new").c_str(), 0700) == -1 && errno == EACCES);
              }),
              ExitedWith(0));
  ASSERT_THAT(chmod(dir_.File("d").c_str(), 0744), SyscallSucceeds());
  EXPECT_THAT(InChild([this] {
                BecomeUser(kUser, kUser);
                CHILD_CHECK(open(dir_.File("d").c_str(), O_RDONLY) >= 0);
                CHILD_CHECK(access(dir_.File("d/known").c_str(), F_OK) == -1 && errno == EACCES);
                CHILD_CHECK(chdir(dir_.File("d").c_str()) == -1 && errno == EACCES);
              }),
              ExitedWith(0));
}

TEST_F(PermsTest, FirstMatchingClassDecides) {
  ASSERT_THAT(chown(file_.c_str(), kUser, kOther), SyscallSucceeds());
  ASSERT_THAT(chmod(file_.c_str(), 0077), SyscallSucceeds());
  EXPECT_THAT(InChild([this] {
                BecomeUser(kUser, kOther);
                CHILD_CHECK(open(file_.c_str(), O_RDONLY) == -1 && errno == EACCES);
              }),
              ExitedWith(0));
  ASSERT_THAT(chmod(file_.c_str(), 0707), SyscallSucceeds());
  EXPECT_THAT(InChild([this] {
                BecomeUser(99, kOther);
                CHILD_CHECK(open(file_.c_str(), O_RDONLY) == -1 && errno == EACCES);
              }),
              ExitedWith(0));
}

TEST_F(PermsTest, SetgidDirectoryHandsItsGroupOn) {
  dir_.WithDirectory("d");
  ASSERT_THAT(chown(dir_.File("d").c_str(), 0, kOther), SyscallSucceeds());
  ASSERT_THAT(chmod(dir_.File("d").c_str(), 02755), SyscallSucceeds());
  dir_.WithFile("d/file");
  EXPECT_EQ(Stat(dir_.File("d/file")).st_gid, kOther);
  ASSERT_THAT(mkdir(dir_.File("d/sub").c_str(), 0755), SyscallSucceeds());
  EXPECT_EQ(Stat(dir_.File("d/sub")).st_gid, kOther);
  EXPECT_EQ(Mode(dir_.File("d/sub")), 02755u);
}

TEST_F(PermsTest, Times) {
  const timespec given[2] = {{.tv_sec = 100, .tv_nsec = 5}, {.tv_sec = 200, .tv_nsec = 6}};
  EXPECT_THAT(utimensat(AT_FDCWD, file_.c_str(), given, 0), SyscallSucceeds());
  EXPECT_EQ(Nanoseconds(Stat(file_).st_atim), 100 * kSecond + 5);
  EXPECT_EQ(Nanoseconds(Stat(file_).st_mtim), 200 * kSecond + 6);
  const timespec partly[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = 0, .tv_nsec = UTIME_NOW}};
  EXPECT_THAT(utimensat(AT_FDCWD, file_.c_str(), partly, 0), SyscallSucceeds());
  EXPECT_EQ(Stat(file_).st_atim.tv_sec, 100);
  EXPECT_GT(Stat(file_).st_mtim.tv_sec, 1000000);
  const TestFd fd = Open(file_, O_RDONLY);
  EXPECT_THAT(futimens(fd.get(), given), SyscallSucceeds());
  EXPECT_EQ(Stat(file_).st_mtim.tv_sec, 200);
  const timespec wrong[2] = {{.tv_sec = 0, .tv_nsec = kSecond}, {}};
  EXPECT_THAT(utimensat(AT_FDCWD, file_.c_str(), wrong, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(utimensat(AT_FDCWD, file_.c_str(), BadPointer<timespec>(), 0), SyscallFailsWithErrno(EFAULT));
}

TEST_F(PermsTest, OldCallsForTimes) {
  const utimbuf old = {.actime = 11, .modtime = 22};
  EXPECT_THAT(utime(file_.c_str(), &old), SyscallSucceeds());
  EXPECT_EQ(Stat(file_).st_atime, 11);
  EXPECT_EQ(Stat(file_).st_mtime, 22);
  const timeval older[2] = {{.tv_sec = 33, .tv_usec = 4}, {.tv_sec = 44, .tv_usec = 5}};
  EXPECT_THAT(syscall(SYS_utimes, file_.c_str(), older), SyscallSucceeds());
  EXPECT_EQ(Nanoseconds(Stat(file_).st_mtim), 44 * kSecond + 5000);
}

TEST_F(PermsTest, TimesOfALink) {
  ASSERT_THAT(symlink("file", dir_.File("link").c_str()), SyscallSucceeds());
  const timespec given[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
  EXPECT_THAT(utimensat(AT_FDCWD, dir_.File("link").c_str(), given, AT_SYMLINK_NOFOLLOW), SyscallSucceeds());
  EXPECT_EQ(Stat(dir_.File("link")).st_mtime, 2);
  EXPECT_GT(Stat(file_).st_mtime, 1000);
}

TEST_F(PermsTest, TimesNeedOwnershipOrWritePermission) {
  ASSERT_THAT(chmod(file_.c_str(), 0666), SyscallSucceeds());
  EXPECT_THAT(InChild([this] {
                BecomeUser(kUser, kUser);
                const timespec given[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
                CHILD_CHECK(utimensat(AT_FDCWD, file_.c_str(), given, 0) == -1 && errno == EPERM);
                CHILD_CHECK(utimensat(AT_FDCWD, file_.c_str(), nullptr, 0) == 0);
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace cloister::tests
