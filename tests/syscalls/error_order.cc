#include <fcntl.h>
#include <grp.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// Which error a call reports where it could report several, and the arguments that are fine after all. Found
// by tools/fuzz diff.
namespace cloister::tests {
namespace {

void* const kNowhere = reinterpret_cast<void*>(uint64_t{1} << 63);
constexpr int kNoFd = -7;

TEST(ErrorOrder, PositionedCallsLookAtTheOffsetThenTheKindThenTheMode) {
  char byte = 0;
  const Pipe pipe;
  EXPECT_THAT(pwritev(kNoFd, nullptr, 0, -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(preadv(kNoFd, nullptr, 0, -5), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pwritev2(kNoFd, nullptr, 0, -5, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(preadv2(kNoFd, nullptr, 0, -1, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(pwrite(pipe.read.get(), &byte, 1, 0), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(pread(pipe.write.get(), &byte, 1, 0), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(syscall(SYS_pread64, pipe.read.get(), kNowhere, 1, 0), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(pread(Open("/", O_RDONLY).get(), &byte, 1, 0), SyscallFailsWithErrno(EISDIR));
}

TEST(ErrorOrder, FlagsOfVectorsCountOnlyWhereBytesAreMoved) {
  const TempDir dir;
  const TestFd file = Open(dir.WithFile("a", "text"), O_RDWR);
  char byte = 0;
  const iovec none = {&byte, 0}, one = {&byte, 1};
  EXPECT_THAT(preadv2(file.get(), &none, 1, 0, 1 << 30), SyscallSucceedsWithValue(0));
  EXPECT_THAT(preadv2(file.get(), &one, 1, 0, 1 << 30), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(preadv2(file.get(), &one, 1, 0, RWF_APPEND), SyscallSucceedsWithValue(1));
}

TEST(ErrorOrder, Fallocate) {
  const TempDir dir;
  const TestFd file = Open(dir.WithFile("a"), O_RDWR), reader = Open(dir.File("a"), O_RDONLY);
  const TestFd null = Open("/dev/null", O_RDWR);
  EXPECT_THAT(fallocate(null.get(), 0x3000, 0, 1), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(fallocate(reader.get(), 0x3000, 0, 1), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(fallocate(null.get(), FALLOC_FL_PUNCH_HOLE, 0, 1), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(fallocate(null.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1),
              SyscallFailsWithErrno(ENODEV));
  EXPECT_THAT(fallocate(null.get(), 0, 1, INT64_MAX), SyscallFailsWithErrno(ENODEV));
  EXPECT_THAT(fallocate(file.get(), 0, 1, INT64_MAX), SyscallFailsWithErrno(EFBIG));
  EXPECT_THAT(fallocate(reader.get(), 0, 0, 1), SyscallFailsWithErrno(EBADF));
}

TEST(ErrorOrder, RangesAndAdviceAskForTheKindOfFile) {
  const TestFd null = Open("/dev/null", O_RDWR);
  const TestFd event(eventfd(0, 0));
  const Pipe pipe;
  EXPECT_THAT(sync_file_range(null.get(), 0, 1, 0), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(sync_file_range(event.get(), 0, 1, 0), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(sync_file_range(null.get(), -1, 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sync_file_range(null.get(), 9, INT64_MAX, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_EQ(posix_fadvise(event.get(), 0, 1, POSIX_FADV_RANDOM), 0);
  EXPECT_EQ(posix_fadvise(pipe.read.get(), 0, -1, 77), ESPIPE);
}

TEST(ErrorOrder, SplicesOfNothing) {
  const TestFd null = Open("/dev/null", O_RDWR), other = Open("/dev/null", O_WRONLY);
  const Pipe pipe;
  EXPECT_THAT(vmsplice(null.get(), nullptr, 0, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(sendfile(other.get(), null.get(), nullptr, 10), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(splice(null.get(), nullptr, pipe.write.get(), nullptr, 10, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(ErrorOrder, Sockets) {
  const TestFd null = Open("/dev/null", O_RDWR);
  const TestFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_THAT(connect(null.get(), BadPointer<sockaddr>(), 20), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(connect(null.get(), nullptr, 2000), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(connect(kNoFd, nullptr, 20), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(accept4(kNoFd, nullptr, nullptr, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(accept4(null.get(), nullptr, nullptr, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_recvfrom, kNoFd, kNowhere, 9, 0, nullptr, nullptr), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_sendto, null.get(), kNowhere, 9, 0, nullptr, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(::socket(AF_INET, SOCK_STREAM, 1 << 16), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(::socket(AF_INET6, SOCK_RAW, 0), SyscallFailsWithErrno(EPROTONOSUPPORT));
  constexpr uint32_t kCompat = 1u << 31;  // MSG_CMSG_COMPAT
  EXPECT_THAT(syscall(SYS_sendmsg, kNoFd, nullptr, kCompat), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_recvmsg, null.get(), nullptr, kCompat), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_sendmmsg, kNoFd, nullptr, 0, kCompat), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_recvmmsg, kNoFd, nullptr, 0, kCompat, nullptr), SyscallFailsWithErrno(EINVAL));
}

TEST(ErrorOrder, StatTakesWhatStatxTakes) {
  const TempDir dir;
  struct stat st;
  EXPECT_THAT(fstatat(AT_FDCWD, dir.path().c_str(), &st, AT_STATX_FORCE_SYNC), SyscallSucceeds());
  EXPECT_THAT(fstatat(AT_FDCWD, "/none", &st, AT_STATX_DONT_SYNC), SyscallFailsWithErrno(ENOENT));
}

TEST(ErrorOrder, NodesAskForTheKindFirst) {
  EXPECT_THAT(syscall(SYS_mknodat, kNoFd, "a", 0x7000, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_mknodat, kNoFd, nullptr, 0xe000, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_mknod, nullptr, S_IFDIR, 0), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(syscall(SYS_mknodat, kNoFd, "a", S_IFLNK, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(ErrorOrder, AnEmptyNameIsNoneWhateverTheDirectory) {
  EXPECT_THAT(fchmodat(kNoFd, "", 0600, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(symlinkat("a", kNoFd, ""), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mkdirat(kNoFd, "", 0700), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(openat(kNoFd, "", O_RDONLY), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(renameat(kNoFd, "", kNoFd, "a"), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(renameat(AT_FDCWD, "a", kNoFd, ""), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(renameat(kNoFd, "a", kNoFd, ""), SyscallFailsWithErrno(EBADF));
  struct stat st;
  EXPECT_THAT(fstatat(kNoFd, "", &st, 0), SyscallFailsWithErrno(ENOENT));
}

TEST(ErrorOrder, LinkatTakesAtEmptyPathForANameThatIsNotEmpty) {
  const TempDir dir;
  dir.WithFile("a");
  const TestFd at = Open(dir.path(), O_RDONLY | O_DIRECTORY);
  EXPECT_THAT(linkat(at.get(), "a", at.get(), "b", AT_EMPTY_PATH), SyscallSucceeds());
  EXPECT_THAT(linkat(at.get(), "a", at.get(), "a/b", AT_EMPTY_PATH), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(linkat(kNoFd, "a", at.get(), "c", AT_EMPTY_PATH), SyscallFailsWithErrno(EBADF));
}

TEST(ErrorOrder, UtimensatLooksAtTheNameBeforeTheTimes) {
  const TempDir dir;
  const timespec bad[2] = {{0, 1'000'000'000}, {0, 0}}, omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  EXPECT_THAT(utimensat(AT_FDCWD, dir.File("none").c_str(), bad, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(utimensat(AT_FDCWD, dir.path().c_str(), bad, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(utimensat(AT_FDCWD, dir.File("none").c_str(), omit, 0), SyscallSucceeds());
}

TEST(ErrorOrder, OpenFlags) {
  const TempDir dir;
  EXPECT_THAT(open(dir.path().c_str(), O_RDONLY | O_TRUNC), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(open(dir.path().c_str(), O_RDONLY | O_DIRECT), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(openat(kNoFd, "a", O_TMPFILE, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_openat, AT_FDCWD, nullptr, O_CREAT | O_DIRECTORY, 0),
              SyscallFailsWithErrno(EINVAL));
}

TEST(ErrorOrder, FilesWithoutANameHaveAttributesOfTheirKind) {
  const Pipe pipe;
  const TestFd event(eventfd(0, 0));
  char list[16];
  EXPECT_THAT(flistxattr(pipe.read.get(), list, sizeof(list)), SyscallSucceedsWithValue(0));
  EXPECT_THAT(fgetxattr(pipe.read.get(), "user.a", list, sizeof(list)), SyscallFailsWithErrno(ENODATA));
  EXPECT_THAT(fsetxattr(pipe.read.get(), "user.a", "", 0, 0), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(fsetxattr(pipe.read.get(), "nothing", "", 0, 0), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(fremovexattr(pipe.read.get(), "user.a"), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(fchmod(pipe.read.get(), 0600), SyscallSucceeds());
  EXPECT_THAT(fchmod(event.get(), 0600), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(fchown(event.get(), 0, 0), SyscallFailsWithErrno(EOPNOTSUPP));
}

TEST(ErrorOrder, FlagsGoBeforePointersToNowhere) {
  EXPECT_THAT(syscall(SYS_memfd_create, nullptr, 0x8000), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_rt_sigaction, 99, kNowhere, nullptr, 8), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_rt_sigaction, 99, nullptr, nullptr, 8), SyscallFailsWithErrno(EINVAL));
}

TEST(ErrorOrder, SetgroupsStopsAtTheFirstThatIsWrong) {
  if (geteuid() != 0) GTEST_SKIP() << "needs CAP_SETGID";
  const GuardedPage page;
  const gid_t last[2] = {1, ~gid_t{0}};
  memcpy(page.end() - sizeof(last), last, sizeof(last));
  EXPECT_THAT(syscall(SYS_setgroups, 3, page.end() - sizeof(last)), SyscallFailsWithErrno(EINVAL));
}

TEST(ErrorOrder, MincoreTellsOfWhatIsMappedBeforeAHole) {
  const size_t page = 4096;
  char* const at = static_cast<char*>(mmap(nullptr, 3 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(at, MAP_FAILED);
  ASSERT_THAT(munmap(at + page, page), SyscallSucceeds());
  unsigned char resident[3] = {0x7e, 0x7e, 0x7e};
  EXPECT_THAT(mincore(at, 3 * page, resident), SyscallFailsWithErrno(ENOMEM));
  EXPECT_NE(resident[0], 0x7e);
  EXPECT_EQ(resident[1], 0x7e);
  EXPECT_THAT(syscall(SYS_mincore, at + page, page, kNowhere), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(mincore(at, 3 * page, BadPointer<unsigned char>()), SyscallFailsWithErrno(EFAULT));
  munmap(at, 3 * page);
}

TEST(ErrorOrder, WhatIsOpenedByNameHasTheFlagOfLargeFiles) {
  constexpr int kLargeFile = 0100000;
  const TestFd null = Open("/dev/null", O_RDWR), directory = Open("/", O_RDONLY);
  const TestFd path_only = Open("/", O_PATH), event(eventfd(0, 0));
  EXPECT_THAT(fcntl(null.get(), F_GETFL), SyscallSucceedsWithValue(O_RDWR | kLargeFile));
  EXPECT_THAT(fcntl(directory.get(), F_GETFL), SyscallSucceedsWithValue(kLargeFile));
  EXPECT_THAT(fcntl(path_only.get(), F_GETFL), SyscallSucceedsWithValue(O_PATH));
  EXPECT_THAT(fcntl(event.get(), F_GETFL), SyscallSucceedsWithValue(O_RDWR));
}

TEST(ErrorOrder, AMemfdThatMayNotBeExecutedCanBeWritten) {
  constexpr unsigned kNoExecSeal = 8, kSealExec = 0x20;  // MFD_NOEXEC_SEAL, F_SEAL_EXEC
  const TestFd file(memfd_create("file", kNoExecSeal));
  EXPECT_THAT(ftruncate(file.get(), 10), SyscallSucceeds());
  EXPECT_THAT(write(file.get(), "abc", 3), SyscallSucceedsWithValue(3));
  EXPECT_THAT(fcntl(file.get(), F_GET_SEALS), SyscallSucceedsWithValue(kSealExec));
  struct stat st = {};
  EXPECT_THAT(fstat(file.get(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_mode & 0777, 0666u);
}

TEST(ErrorOrder, AnEventfdTakesEightBytesAlone) {
  const TestFd event(eventfd(0, EFD_NONBLOCK));
  const uint64_t values[2] = {1, 1};
  EXPECT_THAT(write(event.get(), values, 16), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(write(event.get(), values, 8), SyscallSucceedsWithValue(8));
}

TEST(ErrorOrder, MandatoryLocksAreIgnored) {
  EXPECT_THAT(flock(kNoFd, 32 /* LOCK_MAND */), SyscallSucceeds());
}

TEST(ErrorOrder, NoPathIsTheEmptyPathForStat) {
  struct stat st = {};
  const TestFd file = Open("/", O_RDONLY);
  EXPECT_THAT(syscall(SYS_newfstatat, file.get(), nullptr, &st, AT_EMPTY_PATH), SyscallSucceeds());
  EXPECT_TRUE(S_ISDIR(st.st_mode));
  EXPECT_THAT(syscall(SYS_newfstatat, kNoFd, nullptr, &st, AT_EMPTY_PATH), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(syscall(SYS_newfstatat, file.get(), nullptr, &st, 0), SyscallFailsWithErrno(EFAULT));
}

TEST(ErrorOrder, AnOwnerOfAFileHasToExist) {
  const Pipe pipe;
  constexpr int kNobody = 0x3fffff;
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETOWN, kNobody), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETOWN, -kNobody), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETOWN, 0), SyscallSucceeds());
  f_owner_ex owner = {F_OWNER_TID, kNobody};
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETOWN_EX, &owner), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETOWN, getpid()), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETOWN), SyscallSucceedsWithValue(getpid()));
}

}  // namespace
}  // namespace cloister::tests
