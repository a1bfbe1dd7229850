#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// flock(2); record locks of fcntl(2): POSIX (F_SETLK) and open file description locks (F_OFD_SETLK).
namespace cloister::tests {
namespace {

class LockTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const std::string path_ = dir_.WithFile("file", "0123456789");
};

struct flock Range(int type, off_t start, off_t length) {
  struct flock range = {};
  range.l_type = static_cast<short>(type);
  range.l_whence = SEEK_SET;
  range.l_start = start;
  range.l_len = length;
  return range;
}

int Set(int fd, int type, off_t start, off_t length, int command = F_SETLK) {
  const struct flock range = Range(type, start, length);
  return fcntl(fd, command, &range);
}

// What F_GETLK (or F_OFD_GETLK) finds in the way of a lock of this type.
struct flock Blocker(int fd, int type, off_t start, off_t length, int command = F_GETLK) {
  struct flock range = Range(type, start, length);
  EXPECT_THAT(fcntl(fd, command, &range), SyscallSucceeds());
  return range;
}

// Whether a new process can take the lock at once.
bool OthersMay(const std::string& path, int type, off_t start, off_t length) {
  return WEXITSTATUS(InChild([&] {
           const int fd = open(path.c_str(), O_RDWR);
           _exit(Set(fd, type, start, length) == 0 ? 0 : 1);
         })) == 0;
}

TEST_F(LockTest, FlockExcludesOtherDescriptions) {
  const TestFd a = Open(path_, O_RDONLY), b = Open(path_, O_RDONLY);
  EXPECT_THAT(flock(a.get(), LOCK_EX), SyscallSucceeds());
  EXPECT_THAT(flock(b.get(), LOCK_EX | LOCK_NB), SyscallFailsWithErrno(EWOULDBLOCK));
  EXPECT_THAT(flock(b.get(), LOCK_SH | LOCK_NB), SyscallFailsWithErrno(EWOULDBLOCK));
  EXPECT_THAT(flock(a.get(), LOCK_SH), SyscallSucceeds());
  EXPECT_THAT(flock(b.get(), LOCK_SH | LOCK_NB), SyscallSucceeds());
  EXPECT_THAT(flock(a.get(), LOCK_EX | LOCK_NB), SyscallFailsWithErrno(EWOULDBLOCK));
  EXPECT_THAT(flock(b.get(), LOCK_UN), SyscallSucceeds());
  EXPECT_THAT(flock(a.get(), 77), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(flock(-1, LOCK_EX), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(flock(-1, LOCK_EX | LOCK_SH), SyscallFailsWithErrno(EINVAL));
}

TEST_F(LockTest, FlockBelongsToTheDescription) {
  TestFd a = Open(path_, O_RDONLY);
  TestFd same(dup(a.get()));
  const TestFd b = Open(path_, O_RDONLY);
  EXPECT_THAT(flock(a.get(), LOCK_EX), SyscallSucceeds());
  EXPECT_THAT(flock(same.get(), LOCK_EX | LOCK_NB), SyscallSucceeds());
  a.reset();
  EXPECT_THAT(flock(b.get(), LOCK_EX | LOCK_NB), SyscallFailsWithErrno(EWOULDBLOCK));
  same.reset();
  EXPECT_THAT(flock(b.get(), LOCK_EX | LOCK_NB), SyscallSucceeds());
}

TEST_F(LockTest, FlockWaits) {
  TestFd a = Open(path_, O_RDONLY);
  ASSERT_THAT(flock(a.get(), LOCK_EX), SyscallSucceeds());
  int result = -1;
  ScopedThread waiter([&] {
    const TestFd b = Open(path_, O_RDONLY);
    result = flock(b.get(), LOCK_EX);
  });
  waiter.tid();
  ASSERT_THAT(flock(a.get(), LOCK_UN), SyscallSucceeds());
  waiter.Join();
  EXPECT_EQ(result, 0);
}

TEST_F(LockTest, PosixLocksExcludeOtherProcesses) {
  const TestFd fd = Open(path_, O_RDWR);
  EXPECT_THAT(Set(fd.get(), F_WRLCK, 2, 3), SyscallSucceeds());
  EXPECT_FALSE(OthersMay(path_, F_RDLCK, 4, 1));
  EXPECT_TRUE(OthersMay(path_, F_WRLCK, 5, 10));
  EXPECT_TRUE(OthersMay(path_, F_WRLCK, 0, 2));
  EXPECT_FALSE(OthersMay(path_, F_WRLCK, 0, 0));
  EXPECT_THAT(Set(fd.get(), F_RDLCK, 2, 3), SyscallSucceeds());
  EXPECT_TRUE(OthersMay(path_, F_RDLCK, 2, 3));
  EXPECT_THAT(Set(fd.get(), F_UNLCK, 0, 0), SyscallSucceeds());
  EXPECT_TRUE(OthersMay(path_, F_WRLCK, 0, 0));
}

TEST_F(LockTest, PosixLocksSplit) {
  const TestFd fd = Open(path_, O_RDWR);
  EXPECT_THAT(Set(fd.get(), F_WRLCK, 0, 10), SyscallSucceeds());
  EXPECT_THAT(Set(fd.get(), F_UNLCK, 4, 2), SyscallSucceeds());
  EXPECT_FALSE(OthersMay(path_, F_WRLCK, 3, 1));
  EXPECT_TRUE(OthersMay(path_, F_WRLCK, 4, 2));
  EXPECT_FALSE(OthersMay(path_, F_WRLCK, 6, 1));
}

TEST_F(LockTest, PosixLockIsDescribed) {
  const TestFd fd = Open(path_, O_RDWR);
  const pid_t owner = getpid();
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 3, 4), SyscallSucceeds());
  EXPECT_THAT(InChild([&] {
                struct flock range = Range(F_RDLCK, 0, 0);
                CHILD_CHECK(fcntl(fd.get(), F_GETLK, &range) == 0);
                CHILD_CHECK(range.l_type == F_WRLCK && range.l_start == 3 && range.l_len == 4);
                CHILD_CHECK(range.l_pid == owner && range.l_whence == SEEK_SET);
              }),
              ExitedWith(0));
  EXPECT_EQ(Blocker(fd.get(), F_WRLCK, 0, 0).l_type, F_UNLCK);  // one's own is not in the way
}

TEST_F(LockTest, AnyCloseDropsPosixLocks) {
  const TestFd fd = Open(path_, O_RDWR);
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 0), SyscallSucceeds());
  {
    const TestFd other = Open(path_, O_RDONLY);
  }
  EXPECT_TRUE(OthersMay(path_, F_WRLCK, 0, 0));
}

TEST_F(LockTest, ChildrenDoNotInheritPosixLocks) {
  const TestFd fd = Open(path_, O_RDWR);
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 0), SyscallSucceeds());
  EXPECT_THAT(InChild([&] { CHILD_CHECK(Set(fd.get(), F_WRLCK, 0, 0) == -1 && errno == EAGAIN); }),
              ExitedWith(0));
}

TEST_F(LockTest, LocksEndWithTheProcess) {
  const Pipe ready;
  Child holder([&] {
    const int fd = open(path_.c_str(), O_RDWR);
    CHILD_CHECK(Set(fd, F_WRLCK, 0, 0) == 0 && write(ready.write.get(), "x", 1) == 1);
    pause();
  });
  char byte;
  ASSERT_THAT(read(ready.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
  const TestFd fd = Open(path_, O_RDWR);
  EXPECT_THAT(Set(fd.get(), F_WRLCK, 0, 0), SyscallFailsWithErrno(EAGAIN));
  kill(holder.pid(), SIGKILL);
  EXPECT_THAT(Set(fd.get(), F_WRLCK, 0, 0, F_SETLKW), SyscallSucceeds());
}

TEST_F(LockTest, DeadlockIsFound) {
  const TestFd fd = Open(path_, O_RDWR);
  const Pipe ready;
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 1), SyscallSucceeds());
  Child other([&] {
    CHILD_CHECK(Set(fd.get(), F_WRLCK, 1, 1) == 0 && write(ready.write.get(), "x", 1) == 1);
    const int result = Set(fd.get(), F_WRLCK, 0, 1, F_SETLKW);
    _exit(result == 0 ? 1 : errno == EDEADLK ? 2 : 3);
  });
  char byte;
  ASSERT_THAT(read(ready.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
  const int mine = Set(fd.get(), F_WRLCK, 1, 1, F_SETLKW);  // one of the two must be refused
  if (mine != 0) {
    EXPECT_EQ(errno, EDEADLK);
    EXPECT_THAT(Set(fd.get(), F_UNLCK, 0, 0), SyscallSucceeds());
    EXPECT_THAT(other.Wait(), ExitedWith(1));
  } else {
    EXPECT_THAT(other.Wait(), ExitedWith(2));
  }
}

TEST_F(LockTest, WaitingIsInterrupted) {
  const Pipe ready;
  Child holder([&] {
    const int fd = open(path_.c_str(), O_RDWR);
    CHILD_CHECK(Set(fd, F_WRLCK, 0, 0) == 0 && write(ready.write.get(), "x", 1) == 1);
    for (;;) {  // whichever comes first, the wait or the signal: signals go on until the parent has had one
                // in it
      kill(getppid(), SIGUSR1);
      sched_yield();
    }
  });
  const ScopedSigaction action(SIGUSR1, +[](int) {});
  char byte;
  ssize_t got;
  while ((got = read(ready.read.get(), &byte, 1)) < 0 && errno == EINTR) continue;
  ASSERT_EQ(got, 1);
  TestFd fd;
  int number;
  while ((number = open(path_.c_str(), O_RDWR)) < 0 && errno == EINTR) continue;
  fd.reset(number);
  EXPECT_THAT(Set(fd.get(), F_WRLCK, 0, 0, F_SETLKW), SyscallFailsWithErrno(EINTR));
  kill(holder.pid(), SIGKILL);
  EXPECT_THAT(holder.Wait(), KilledBy(SIGKILL));
}

TEST_F(LockTest, DescriptionLocks) {
  TestFd a = Open(path_, O_RDWR);
  const TestFd b = Open(path_, O_RDWR);
  EXPECT_THAT(Set(a.get(), F_WRLCK, 0, 5, F_OFD_SETLK), SyscallSucceeds());
  EXPECT_THAT(Set(b.get(), F_WRLCK, 0, 5, F_OFD_SETLK), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(Set(b.get(), F_WRLCK, 5, 5, F_OFD_SETLK), SyscallSucceeds());
  EXPECT_THAT(Set(b.get(), F_WRLCK, 0, 5, F_SETLK), SyscallFailsWithErrno(EAGAIN));
  EXPECT_EQ(Blocker(b.get(), F_WRLCK, 0, 5, F_OFD_GETLK).l_pid, -1);
  {
    const TestFd other = Open(path_, O_RDWR);
  }
  EXPECT_THAT(Set(b.get(), F_WRLCK, 0, 5, F_OFD_SETLK), SyscallFailsWithErrno(EAGAIN));
  a.reset();
  EXPECT_THAT(Set(b.get(), F_WRLCK, 0, 5, F_OFD_SETLK), SyscallSucceeds());
  struct flock wrong = Range(F_WRLCK, 0, 1);
  wrong.l_pid = 1;
  EXPECT_THAT(fcntl(b.get(), F_OFD_SETLK, &wrong), SyscallFailsWithErrno(EINVAL));
}

TEST_F(LockTest, Errors) {
  const TestFd reader = Open(path_, O_RDONLY), writer = Open(path_, O_WRONLY);
  EXPECT_THAT(Set(reader.get(), F_WRLCK, 0, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(Set(writer.get(), F_RDLCK, 0, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(Set(reader.get(), 17, 0, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Set(reader.get(), F_RDLCK, -1, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fcntl(reader.get(), F_SETLK, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(fcntl(reader.get(), F_GETLK, BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST_F(LockTest, RangesRelativeToOffsetAndEnd) {
  const TestFd fd = Open(path_, O_RDWR);
  ASSERT_THAT(lseek(fd.get(), 4, SEEK_SET), SyscallSucceeds());
  struct flock range = Range(F_WRLCK, 1, 1);
  range.l_whence = SEEK_CUR;
  EXPECT_THAT(fcntl(fd.get(), F_SETLK, &range), SyscallSucceeds());
  EXPECT_FALSE(OthersMay(path_, F_WRLCK, 5, 1));
  range = Range(F_WRLCK, 0, -2);  // a negative length reaches back
  range.l_whence = SEEK_END;
  EXPECT_THAT(fcntl(fd.get(), F_SETLK, &range), SyscallSucceeds());
  EXPECT_FALSE(OthersMay(path_, F_WRLCK, 8, 1));
  EXPECT_TRUE(OthersMay(path_, F_WRLCK, 7, 1));
}

}  // namespace
}  // namespace cloister::tests
