#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// pipe(7), fifo(7), splice(2), tee(2), vmsplice(2).
namespace cloister::tests {
namespace {

constexpr int kDefaultSize = 65536;

short Ready(const TestFd& fd) {
  pollfd entry = {.fd = fd.get(), .events = POLLIN | POLLOUT, .revents = 0};
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceeds());
  return entry.revents;
}

std::string Take(const TestFd& fd, size_t most) {
  std::string text(most, 0);
  const ssize_t got = read(fd.get(), text.data(), most);
  EXPECT_THAT(got, SyscallSucceeds());
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return text;
}

TEST(PipeTest, BytesInOrderWithoutBoundaries) {
  const Pipe pipe;
  EXPECT_THAT(write(pipe.write.get(), "abc", 3), SyscallSucceedsWithValue(3));
  EXPECT_THAT(write(pipe.write.get(), "def", 3), SyscallSucceedsWithValue(3));
  EXPECT_EQ(Take(pipe.read, 4), "abcd");
  EXPECT_EQ(Take(pipe.read, 9), "ef");
}

TEST(PipeTest, PacketsKeepTheirBoundaries) {
  const Pipe pipe(O_DIRECT | O_NONBLOCK);
  EXPECT_THAT(write(pipe.write.get(), "abc", 3), SyscallSucceedsWithValue(3));
  EXPECT_THAT(write(pipe.write.get(), "defg", 4), SyscallSucceedsWithValue(4));
  EXPECT_EQ(Take(pipe.read, 100), "abc");
  EXPECT_EQ(Take(pipe.read, 2), "de");  // the rest of a packet is lost
  char byte;
  EXPECT_THAT(read(pipe.read.get(), &byte, 1), SyscallFailsWithErrno(EAGAIN));
}

TEST(PipeTest, EndOfFileWhenTheLastWriterCloses) {
  Pipe pipe;
  TestFd second(dup(pipe.write.get()));
  EXPECT_THAT(write(pipe.write.get(), "x", 1), SyscallSucceeds());
  pipe.write.reset();
  EXPECT_EQ(Ready(pipe.read), POLLIN);
  second.reset();
  EXPECT_EQ(Ready(pipe.read), POLLIN | POLLHUP);
  EXPECT_EQ(Take(pipe.read, 5), "x");
  EXPECT_EQ(Ready(pipe.read), POLLHUP);
  EXPECT_EQ(Take(pipe.read, 5), "");
}

TEST(PipeTest, BrokenPipe) {
  Pipe pipe;
  pipe.read.reset();
  EXPECT_EQ(Ready(pipe.write), POLLOUT | POLLERR);
  {
    const ScopedSigaction ignore(SIGPIPE, SIG_IGN);
    EXPECT_THAT(write(pipe.write.get(), "x", 1), SyscallFailsWithErrno(EPIPE));
  }
  EXPECT_THAT(InChild([&] {
                signal(SIGPIPE, SIG_DFL);
                write(pipe.write.get(), "x", 1);
              }),
              KilledBy(SIGPIPE));
}

TEST(PipeTest, BlockedWriterSeesTheReaderLeave) {
  Pipe pipe;
  const ScopedSigaction ignore(SIGPIPE, SIG_IGN);
  ssize_t result = 0;
  int error = 0;
  ScopedThread writer([&] {
    const std::string big(kDefaultSize * 2, 'x');
    result = write(pipe.write.get(), big.data(), big.size());
    if (result >= 0) result = write(pipe.write.get(), big.data(), big.size());
    error = errno;
  });
  ASSERT_EQ(Take(pipe.read, 1), "x");
  pipe.read.reset();
  writer.Join();
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, EPIPE);
}

TEST(PipeTest, Nonblocking) {
  const Pipe pipe(O_NONBLOCK);
  char byte;
  EXPECT_THAT(read(pipe.read.get(), &byte, 1), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(read(pipe.read.get(), &byte, 0), SyscallSucceedsWithValue(0));
  const std::string big(kDefaultSize + 100, 'x');
  EXPECT_THAT(write(pipe.write.get(), big.data(), big.size()), SyscallSucceedsWithValue(kDefaultSize));
  EXPECT_THAT(write(pipe.write.get(), "x", 1), SyscallFailsWithErrno(EAGAIN));
  EXPECT_EQ(Ready(pipe.write), 0);
  int waiting = 0;
  EXPECT_THAT(ioctl(pipe.read.get(), FIONREAD, &waiting), SyscallSucceeds());
  EXPECT_EQ(waiting, kDefaultSize);
}

TEST(PipeTest, SmallWritesAreAtomic) {
  const Pipe pipe(O_NONBLOCK);
  const std::string most(kDefaultSize - 100, 'x'), page(PIPE_BUF, 'y');
  ASSERT_THAT(write(pipe.write.get(), most.data(), most.size()),
              SyscallSucceedsWithValue(ssize_t(most.size())));
  EXPECT_THAT(write(pipe.write.get(), page.data(), page.size()), SyscallFailsWithErrno(EAGAIN));
}

TEST(PipeTest, WritersDoNotMixSmallRecords) {
  Pipe pipe;
  constexpr size_t kRecord = 512, kRecords = 300;
  const auto body = [&](char letter) {
    const std::string record(kRecord, letter);
    for (size_t i = 0; i < kRecords; ++i)
      CHILD_CHECK(write(pipe.write.get(), record.data(), kRecord) == ssize_t(kRecord));
  };
  Child a([&] { body('a'); });
  Child b([&] { body('b'); });
  pipe.write.reset();
  const std::string all = ReadAll(pipe.read.get());
  ASSERT_EQ(all.size(), 2 * kRecord * kRecords);
  for (size_t at = 0; at < all.size(); at += kRecord)
    ASSERT_EQ(all.substr(at, kRecord), std::string(kRecord, all[at]));
}

TEST(PipeTest, LargeTransferBetweenProcesses) {
  Pipe pipe;
  std::string big(5 << 20, 0);
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 7 + i / 251);
  Child writer([&] { CHILD_CHECK(WriteAll(pipe.write.get(), big)); });
  pipe.write.reset();
  EXPECT_TRUE(ReadAll(pipe.read.get()) == big);
  EXPECT_THAT(writer.Wait(), ExitedWith(0));
}

TEST(PipeTest, Size) {
  const Pipe pipe(O_NONBLOCK);
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETPIPE_SZ), SyscallSucceedsWithValue(kDefaultSize));
  EXPECT_THAT(fcntl(pipe.write.get(), F_SETPIPE_SZ, 5000), SyscallSucceedsWithValue(8192));
  EXPECT_THAT(fcntl(pipe.read.get(), F_GETPIPE_SZ), SyscallSucceedsWithValue(8192));
  const std::string big(10000, 'x');
  EXPECT_THAT(write(pipe.write.get(), big.data(), big.size()), SyscallSucceedsWithValue(8192));
  EXPECT_THAT(fcntl(pipe.write.get(), F_SETPIPE_SZ, 4096), SyscallFailsWithErrno(EBUSY));
  EXPECT_THAT(fcntl(pipe.write.get(), F_SETPIPE_SZ, 131072), SyscallSucceedsWithValue(131072));
  EXPECT_EQ(Take(pipe.read, 10000), std::string(8192, 'x'));
  const TempDir dir;
  const TestFd file = Open(dir.WithFile("f"), O_RDWR);
  EXPECT_THAT(fcntl(file.get(), F_GETPIPE_SZ), SyscallFailsWithErrno(EBADF));
}

TEST(PipeTest, WrongEndsAndPositions) {
  const Pipe pipe;
  char byte = 0;
  EXPECT_THAT(read(pipe.write.get(), &byte, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(write(pipe.read.get(), &byte, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(lseek(pipe.read.get(), 0, SEEK_SET), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(pread(pipe.read.get(), &byte, 1, 0), SyscallFailsWithErrno(ESPIPE));
  int ends[2];
  EXPECT_THAT(pipe2(ends, O_APPEND), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pipe2(BadPointer<int>(), 0), SyscallFailsWithErrno(EFAULT));
}

TEST(PipeTest, BadPointersLoseNothing) {
  const Pipe pipe;
  EXPECT_THAT(write(pipe.write.get(), BadPointer(), 4), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(write(pipe.write.get(), "data", 4), SyscallSucceedsWithValue(4));
  EXPECT_THAT(read(pipe.read.get(), BadPointer(), 4), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(Take(pipe.read, 4), "data");
}

TEST(PipeTest, ReadIsInterruptedOrRestarted) {
  const Pipe pipe;
  static std::atomic<int> handled;
  handled = 0;
  for (const int flags : {0, SA_RESTART}) {
    const ScopedSigaction action(SIGUSR1, +[](int) { ++handled; }, flags);
    std::atomic<bool> done = false;
    ssize_t result = 0;
    int error = 0;
    ScopedThread reader([&] {
      char byte;
      result = read(pipe.read.get(), &byte, 1);
      error = errno;
      done = true;
    });
    const int before = handled;
    const auto poke = [&] {
      tgkill(getpid(), reader.tid(), SIGUSR1);
      return flags == 0 ? done.load() : handled - before > 20;
    };
    EXPECT_TRUE(YieldUntil(poke));
    if (flags == SA_RESTART) {
      EXPECT_FALSE(done);
      EXPECT_THAT(write(pipe.write.get(), "x", 1), SyscallSucceeds());
    }
    reader.Join();
    EXPECT_EQ(result, flags == 0 ? -1 : 1);
    if (flags == 0) {
      EXPECT_EQ(error, EINTR);
    }
  }
}

class FifoTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const std::string path_ = dir_.File("fifo");
  void SetUp() override { ASSERT_THAT(mkfifo(path_.c_str(), 0600), SyscallSucceeds()); }
};

TEST_F(FifoTest, OpenWaitsForThePeer) {
  std::string got;
  ScopedThread reader([&] { got = ReadFile(path_); });
  EXPECT_TRUE(WriteAll(Open(path_, O_WRONLY).get(), "through a name"));
  reader.Join();
  EXPECT_EQ(got, "through a name");
}

TEST_F(FifoTest, NonblockingOpen) {
  EXPECT_THAT(open(path_.c_str(), O_WRONLY | O_NONBLOCK), SyscallFailsWithErrno(ENXIO));
  const TestFd reader = Open(path_, O_RDONLY | O_NONBLOCK);
  char byte;
  EXPECT_THAT(read(reader.get(), &byte, 1), SyscallSucceedsWithValue(0));
  const TestFd writer = Open(path_, O_WRONLY | O_NONBLOCK);
  EXPECT_THAT(read(reader.get(), &byte, 1), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(write(writer.get(), "x", 1), SyscallSucceedsWithValue(1));
}

TEST_F(FifoTest, ReadAndWriteInOne) {
  const TestFd both = Open(path_, O_RDWR);
  EXPECT_THAT(write(both.get(), "self", 4), SyscallSucceedsWithValue(4));
  EXPECT_EQ(Take(both, 10), "self");
}

TEST(Splice, FileToPipeToFile) {
  const TempDir dir;
  const TestFd from = Open(dir.WithFile("from", "0123456789"), O_RDONLY),
               to = Open(dir.WithFile("to"), O_RDWR);
  const Pipe pipe;
  loff_t offset = 2;
  EXPECT_THAT(splice(from.get(), &offset, pipe.write.get(), nullptr, 5, 0), SyscallSucceedsWithValue(5));
  EXPECT_EQ(offset, 7);
  EXPECT_THAT(lseek(from.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(0));
  EXPECT_THAT(splice(pipe.read.get(), nullptr, to.get(), nullptr, 100, 0), SyscallSucceedsWithValue(5));
  EXPECT_EQ(ReadFile(dir.File("to")), "23456");
}

TEST(Splice, Errors) {
  const TempDir dir;
  const TestFd a = Open(dir.WithFile("a", "x"), O_RDWR), b = Open(dir.WithFile("b"), O_RDWR);
  const Pipe pipe(O_NONBLOCK);
  loff_t offset = 0;
  EXPECT_THAT(splice(a.get(), nullptr, b.get(), nullptr, 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(splice(a.get(), nullptr, pipe.write.get(), &offset, 1, 0), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(splice(pipe.read.get(), nullptr, b.get(), nullptr, 1, SPLICE_F_NONBLOCK),
              SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(splice(-1, nullptr, pipe.write.get(), nullptr, 1, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(splice(a.get(), nullptr, pipe.write.get(), nullptr, 1, 0x100), SyscallFailsWithErrno(EINVAL));
}

TEST(Splice, TeeDuplicates) {
  const Pipe from, to;
  ASSERT_THAT(write(from.write.get(), "double", 6), SyscallSucceeds());
  EXPECT_THAT(tee(from.read.get(), to.write.get(), 100, 0), SyscallSucceedsWithValue(6));
  EXPECT_EQ(Take(from.read, 10), "double");
  EXPECT_EQ(Take(to.read, 10), "double");
  EXPECT_THAT(tee(from.read.get(), from.write.get(), 1, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(Splice, Vmsplice) {
  const Pipe pipe;
  std::string text = "from memory";
  const iovec vector = {.iov_base = text.data(), .iov_len = text.size()};
  EXPECT_THAT(vmsplice(pipe.write.get(), &vector, 1, 0), SyscallSucceedsWithValue(ssize_t(text.size())));
  EXPECT_EQ(Take(pipe.read, 100), text);
}

}  // namespace
}  // namespace cloister::tests
