#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"

// dup(2), fcntl(2), close_range(2), the table of descriptors.
namespace cloister::tests {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(Fd, DupTakesTheLowestAndSharesStatusFlags) {
  const Pipe pipe;
  const TestFd other(dup(pipe.read.get()));
  EXPECT_THAT(fcntl(other.get(), F_SETFL, O_NONBLOCK), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETFL), SyscallSucceedsWithValue(O_RDONLY | O_NONBLOCK));
  EXPECT_THAT(dup(-1), SyscallFailsWithErrno(EBADF));
}

TEST(Fd, DupLeavesCloexecBehind) {
  const Pipe pipe(O_CLOEXEC);
  const TestFd other(dup(pipe.read.get()));
  EXPECT_THAT(fcntl(other.get(), F_GETFD), SyscallSucceedsWithValue(0));
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
}

TEST(Fd, Dup2ReplacesAndClosesTheOldFile) {
  Pipe a, b;
  EXPECT_THAT(dup2(a.write.get(), b.write.get()), SyscallSucceedsWithValue(b.write.get()));
  char byte;
  EXPECT_THAT(read(b.read.get(), &byte, 1), SyscallSucceedsWithValue(0));  // b's last writer is gone
  EXPECT_THAT(write(b.write.get(), "x", 1), SyscallSucceedsWithValue(1));
  EXPECT_THAT(read(a.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
}

TEST(Fd, Dup2ToItselfAndErrors) {
  const Pipe pipe(O_CLOEXEC);
  EXPECT_THAT(dup2(pipe.read.get(), pipe.read.get()), SyscallSucceedsWithValue(pipe.read.get()));
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(dup2(-1, 5), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(dup2(-1, -1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(dup2(pipe.read.get(), -1), SyscallFailsWithErrno(EBADF));
  rlimit limit;
  ASSERT_THAT(getrlimit(RLIMIT_NOFILE, &limit), SyscallSucceeds());
  EXPECT_THAT(dup2(pipe.read.get(), static_cast<int>(limit.rlim_cur)), SyscallFailsWithErrno(EBADF));
}

TEST(Fd, Dup3) {
  const Pipe pipe;
  EXPECT_THAT(dup3(pipe.read.get(), pipe.write.get(), O_CLOEXEC), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.write.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(dup3(pipe.read.get(), pipe.read.get(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(dup3(pipe.read.get(), pipe.write.get(), O_NONBLOCK), SyscallFailsWithErrno(EINVAL));
}

TEST(Fd, FcntlDupFromANumber) {
  const Pipe pipe;
  const TestFd plain(fcntl(pipe.read.get(), F_DUPFD, 200));
  const TestFd next(fcntl(pipe.read.get(), F_DUPFD_CLOEXEC, 200));
  EXPECT_EQ(plain.get(), 200);
  EXPECT_EQ(next.get(), 201);
  EXPECT_THAT(fcntl(plain.get(), F_GETFD), SyscallSucceedsWithValue(0));
  EXPECT_THAT(fcntl(next.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(fcntl(pipe.read.get(), F_DUPFD, -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fcntl(pipe.read.get(), F_DUPFD, 1 << 30), SyscallFailsWithErrno(EINVAL));
}

TEST(Fd, StatusFlagsThatCanChange) {
  const TempDir dir;
  const TestFd fd = Open(dir.WithFile("f", "abc"), O_RDWR | O_CREAT);
  EXPECT_THAT(fcntl(fd.get(), F_SETFL, O_APPEND | O_NONBLOCK | O_WRONLY | O_TRUNC | O_EXCL),
              SyscallSucceeds());
  const int flags = fcntl(fd.get(), F_GETFL);
  EXPECT_EQ(flags & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_CREAT | O_EXCL | O_TRUNC),
            O_RDWR | O_APPEND | O_NONBLOCK);
  EXPECT_THAT(write(fd.get(), "d", 1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(ReadFile(dir.File("f")), "abcd");
}

TEST(Fd, FcntlErrors) {
  const Pipe pipe;
  EXPECT_THAT(fcntl(pipe.read.get(), 9999), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fcntl(-1, F_GETFD), SyscallFailsWithErrno(EBADF));
}

TEST(Fd, NonblockByIoctl) {
  const Pipe pipe;
  int on = 1, off = 0;
  EXPECT_THAT(ioctl(pipe.read.get(), FIONBIO, &on), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETFL), SyscallSucceedsWithValue(O_RDONLY | O_NONBLOCK));
  EXPECT_THAT(ioctl(pipe.read.get(), FIONBIO, &off), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETFL), SyscallSucceedsWithValue(O_RDONLY));
  EXPECT_THAT(ioctl(pipe.read.get(), FIOCLEX), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(ioctl(pipe.read.get(), FIONCLEX), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETFD), SyscallSucceedsWithValue(0));
  EXPECT_THAT(ioctl(pipe.read.get(), FIONREAD, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(Fd, UnknownIoctl) {
  const TempDir dir;
  const TestFd file = Open(dir.WithFile("f"), O_RDWR);
  EXPECT_THAT(ioctl(file.get(), 0x12345678, 0), SyscallFailsWithErrno(ENOTTY));
  EXPECT_THAT(ioctl(-1, FIONREAD, 0), SyscallFailsWithErrno(EBADF));
}

TEST(Fd, CloseRange) {
  EXPECT_THAT(
      InChild([] {
        CHILD_CHECK(dup2(0, 100) == 100 && dup2(0, 101) == 101 && dup2(0, 105) == 105 && dup2(0, 110) == 110);
        CHILD_CHECK(syscall(SYS_close_range, 101, 105, 0) == 0);
        CHILD_CHECK(IsOpen(100) && !IsOpen(101) && !IsOpen(105) && IsOpen(110));
        CHILD_CHECK(syscall(SYS_close_range, 5, 4, 0) == -1 && errno == EINVAL);
        CHILD_CHECK(syscall(SYS_close_range, 100, 110, 64) == -1 && errno == EINVAL);
        CHILD_CHECK(syscall(SYS_close_range, 100, ~0u, CLOSE_RANGE_CLOEXEC) == 0);
        CHILD_CHECK(fcntl(100, F_GETFD) == FD_CLOEXEC && fcntl(110, F_GETFD) == FD_CLOEXEC);
        CHILD_CHECK(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_UNSHARE) == 0);
        CHILD_CHECK(!IsOpen(100) && IsOpen(2));
      }),
      ExitedWith(0));
}

TEST(Fd, LimitIsKept) {
  EXPECT_THAT(InChild([] {
                syscall(SYS_close_range, 3, ~0u, 0);
                const rlimit limit = {.rlim_cur = 8, .rlim_max = 8};
                CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                for (int fd = 3; fd < 8; ++fd) CHILD_CHECK(dup(0) == fd);
                CHILD_CHECK(dup(0) == -1 && errno == EMFILE);
                CHILD_CHECK(open("/", O_RDONLY) == -1 && errno == EMFILE);
                int ends[2];
                CHILD_CHECK(close(7) == 0 && pipe(ends) == -1 && errno == EMFILE);
                CHILD_CHECK(dup(0) == 7);  // a pipe that half fitted has left nothing
              }),
              ExitedWith(0));
}

TEST(Fd, TableIsCopiedByFork) {
  const Pipe pipe;
  EXPECT_THAT(InChild([&] { CHILD_CHECK(close(pipe.write.get()) == 0); }), ExitedWith(0));
  EXPECT_TRUE(IsOpen(pipe.write.get()));
}

TEST(Fd, OwnerOfSignals) {
  const Pipe pipe;
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETOWN), SyscallSucceedsWithValue(0));
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETOWN, getpid()), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETOWN), SyscallSucceedsWithValue(getpid()));
}

TEST(Fd, OwnerOfSignalsHasAKind) {
  const Pipe pipe;
  f_owner_ex owner = {.type = F_OWNER_PGRP, .pid = getpgrp()};
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETOWN_EX, &owner), SyscallSucceeds());
  owner = {};
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETOWN_EX, &owner), SyscallSucceeds());
  EXPECT_EQ(owner.type, F_OWNER_PGRP);
  EXPECT_EQ(owner.pid, getpgrp());
  owner = {.type = static_cast<__pid_type>(3), .pid = getpid()};
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETOWN_EX, &owner), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETOWN_EX, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETSIG, SIGUSR1), SyscallSucceeds());
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETSIG), SyscallSucceedsWithValue(SIGUSR1));
  EXPECT_THAT(fcntl(pipe.read.get(), F_SETSIG, 65), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace cloister::tests
