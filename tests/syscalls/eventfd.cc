#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "tests/util/child.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// eventfd(2).
namespace cloister::tests {
namespace {

TestFd NewEventFd(unsigned initial, int flags = 0) { return TestFd(eventfd(initial, flags)); }

ssize_t Add(const TestFd& fd, uint64_t value) { return write(fd.get(), &value, sizeof value); }

// The value read; ~0 where the read failed.
uint64_t Take(const TestFd& fd) {
  uint64_t value = ~uint64_t{0};
  return read(fd.get(), &value, sizeof value) == sizeof value ? value : ~uint64_t{0};
}

short Ready(const TestFd& fd) {
  pollfd entry = {.fd = fd.get(), .events = POLLIN | POLLOUT, .revents = 0};
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceeds());
  return entry.revents;
}

TEST(EventFd, CounterIsReadAndReset) {
  const TestFd fd = NewEventFd(3, EFD_NONBLOCK);
  EXPECT_THAT(Add(fd, 4), SyscallSucceedsWithValue(8));
  EXPECT_EQ(Take(fd), 7u);
  uint64_t value;
  EXPECT_THAT(read(fd.get(), &value, sizeof value), SyscallFailsWithErrno(EAGAIN));
}

TEST(EventFd, SemaphoreGivesOneAtATime) {
  const TestFd fd = NewEventFd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
  EXPECT_EQ(Take(fd), 1u);
  EXPECT_EQ(Take(fd), 1u);
  uint64_t value;
  EXPECT_THAT(read(fd.get(), &value, sizeof value), SyscallFailsWithErrno(EAGAIN));
}

TEST(EventFd, OverflowWouldBlock) {
  const TestFd fd = NewEventFd(0, EFD_NONBLOCK);
  EXPECT_THAT(Add(fd, ~uint64_t{0} - 1), SyscallSucceedsWithValue(8));
  EXPECT_EQ(Ready(fd), POLLIN);
  EXPECT_THAT(Add(fd, 1), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(Add(fd, 0), SyscallSucceedsWithValue(8));
  EXPECT_EQ(Take(fd), ~uint64_t{0} - 1);
  EXPECT_EQ(Ready(fd), POLLOUT);
}

TEST(EventFd, AllOnesIsInvalid) {
  const TestFd fd = NewEventFd(0);
  EXPECT_THAT(Add(fd, ~uint64_t{0}), SyscallFailsWithErrno(EINVAL));
}

TEST(EventFd, ShortBuffersAreInvalidAndLongReadsGetEightBytes) {
  const TestFd fd = NewEventFd(1, EFD_NONBLOCK);
  uint64_t values[4] = {5, 6, 7, 8};
  EXPECT_THAT(write(fd.get(), values, 7), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(read(fd.get(), values, 7), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(read(fd.get(), values, sizeof values), SyscallSucceedsWithValue(8));
  EXPECT_EQ(values[0], 1u);
  EXPECT_EQ(values[1], 6u);
}

TEST(EventFd, BadPointers) {
  const TestFd fd = NewEventFd(1, EFD_NONBLOCK);
  EXPECT_THAT(write(fd.get(), BadPointer(), 8), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(read(fd.get(), BadPointer(), 8), SyscallFailsWithErrno(EFAULT));
}

TEST(EventFd, BadFlags) { EXPECT_THAT(eventfd(0, 0x10), SyscallFailsWithErrno(EINVAL)); }

TEST(EventFd, FlagsReachTheDescriptor) {
  const TestFd fd = NewEventFd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(FD_CLOEXEC));
  EXPECT_THAT(fcntl(fd.get(), F_GETFL), SyscallSucceedsWithValue(O_RDWR | O_NONBLOCK));
}

TEST(EventFd, OldCallHasNoFlags) {
  const TestFd fd(static_cast<int>(syscall(SYS_eventfd, 9)));
  EXPECT_EQ(Take(fd), 9u);
  EXPECT_THAT(fcntl(fd.get(), F_GETFD), SyscallSucceedsWithValue(0));
}

TEST(EventFd, NoPositions) {
  const TestFd fd = NewEventFd(0);
  uint64_t value = 1;
  EXPECT_THAT(pread(fd.get(), &value, sizeof value, 0), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(pwrite(fd.get(), &value, sizeof value, 0), SyscallFailsWithErrno(ESPIPE));
}

TEST(EventFd, BlockedReaderIsWoken) {
  const TestFd fd = NewEventFd(0);
  uint64_t got = 0;
  ScopedThread reader([&] { got = Take(fd); });
  reader.tid();
  EXPECT_THAT(Add(fd, 5), SyscallSucceedsWithValue(8));
  reader.Join();
  EXPECT_EQ(got, 5u);
}

TEST(EventFd, BlockedWriterIsWoken) {
  const TestFd fd = NewEventFd(0);
  ASSERT_THAT(Add(fd, ~uint64_t{0} - 1), SyscallSucceedsWithValue(8));
  ssize_t put = 0;
  ScopedThread writer([&] { put = Add(fd, 2); });
  writer.tid();
  EXPECT_EQ(Take(fd), ~uint64_t{0} - 1);
  writer.Join();
  EXPECT_EQ(put, 8);
  EXPECT_EQ(Take(fd), 2u);
}

TEST(EventFd, PingPongBetweenThreads) {
  const TestFd there = NewEventFd(0), back = NewEventFd(0);
  constexpr uint64_t kRounds = 300;
  ScopedThread peer([&] {
    for (uint64_t i = 1; i <= kRounds; ++i) Add(back, Take(there) + 1);
  });
  for (uint64_t i = 1; i <= kRounds; ++i) {
    ASSERT_THAT(Add(there, i), SyscallSucceeds());
    ASSERT_EQ(Take(back), i + 1);
  }
}

TEST(EventFd, SharedWithAChild) {
  const TestFd fd = NewEventFd(0);
  EXPECT_THAT(InChild([&] { CHILD_CHECK(Add(fd, 11) == 8); }), ExitedWith(0));
  EXPECT_EQ(Take(fd), 11u);
}

}  // namespace
}  // namespace cloister::tests
