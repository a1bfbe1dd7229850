#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <string>

#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// sendfile(2), copy_file_range(2).
namespace cloister::tests {
namespace {

class CopyTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const TestFd from_ = Open(dir_.WithFile("from", "0123456789"), O_RDONLY);
  const TestFd to_ = Open(dir_.WithFile("to"), O_RDWR);
  std::string Copied() const { return ReadFile(dir_.File("to")); }
};

TEST_F(CopyTest, SendfileMovesTheOffset) {
  EXPECT_THAT(sendfile(to_.get(), from_.get(), nullptr, 4), SyscallSucceedsWithValue(4));
  EXPECT_THAT(sendfile(to_.get(), from_.get(), nullptr, 100), SyscallSucceedsWithValue(6));
  EXPECT_THAT(sendfile(to_.get(), from_.get(), nullptr, 100), SyscallSucceedsWithValue(0));
  EXPECT_EQ(Copied(), "0123456789");
}

TEST_F(CopyTest, SendfileFromAGivenOffset) {
  off_t offset = 7;
  EXPECT_THAT(sendfile(to_.get(), from_.get(), &offset, 2), SyscallSucceedsWithValue(2));
  EXPECT_EQ(offset, 9);
  EXPECT_THAT(lseek(from_.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(0));
  EXPECT_EQ(Copied(), "78");
}

TEST_F(CopyTest, SendfileToPipesAndSockets) {
  const Pipe pipe;
  EXPECT_THAT(sendfile(pipe.write.get(), from_.get(), nullptr, 3), SyscallSucceedsWithValue(3));
  int ends[2];
  ASSERT_THAT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), SyscallSucceeds());
  const TestFd a(ends[0]), b(ends[1]);
  EXPECT_THAT(sendfile(a.get(), from_.get(), nullptr, 3), SyscallSucceedsWithValue(3));
  char text[4] = {};
  EXPECT_THAT(read(pipe.read.get(), text, 3), SyscallSucceedsWithValue(3));
  EXPECT_STREQ(text, "012");
  EXPECT_THAT(read(b.get(), text, 3), SyscallSucceedsWithValue(3));
  EXPECT_STREQ(text, "345");
}

TEST_F(CopyTest, SendfileErrors) {
  const TestFd reader = Open(dir_.File("to"), O_RDONLY), writer = Open(dir_.File("to"), O_WRONLY);
  const TestFd appender = Open(dir_.File("to"), O_WRONLY | O_APPEND);
  const Pipe pipe;
  off_t negative = -1;
  EXPECT_THAT(sendfile(reader.get(), from_.get(), nullptr, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(sendfile(to_.get(), writer.get(), nullptr, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(sendfile(appender.get(), from_.get(), nullptr, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sendfile(to_.get(), from_.get(), &negative, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sendfile(to_.get(), from_.get(), BadPointer<off_t>(), 1), SyscallFailsWithErrno(EFAULT));
  off_t offset = 0;
  EXPECT_THAT(sendfile(to_.get(), pipe.read.get(), &offset, 1), SyscallFailsWithErrno(ESPIPE));
}

TEST_F(CopyTest, SendfileOfALargeFileThroughABlockingPipe) {
  const std::string big(1 << 20, 'b');
  const TestFd source = Open(dir_.WithFile("big", big), O_RDONLY);
  Pipe pipe;
  ScopedThread sender([&] {
    size_t sent = 0;
    while (sent < big.size()) {
      const ssize_t put = sendfile(pipe.write.get(), source.get(), nullptr, big.size() - sent);
      ASSERT_THAT(put, SyscallSucceedsWithValue(::testing::Gt(0)));
      sent += static_cast<size_t>(put);
    }
    pipe.write.reset();
  });
  EXPECT_TRUE(ReadAll(pipe.read.get()) == big);
}

TEST_F(CopyTest, CopyFileRange) {
  loff_t in = 2, out = 1;
  EXPECT_THAT(copy_file_range(from_.get(), &in, to_.get(), &out, 5, 0), SyscallSucceedsWithValue(5));
  EXPECT_EQ(in, 7);
  EXPECT_EQ(out, 6);
  EXPECT_EQ(Copied(), std::string("\00023456", 6));
  EXPECT_THAT(copy_file_range(from_.get(), nullptr, to_.get(), nullptr, 3, 0), SyscallSucceedsWithValue(3));
  EXPECT_EQ(Copied(), "012456");
  in = 10;
  EXPECT_THAT(copy_file_range(from_.get(), &in, to_.get(), nullptr, 3, 0), SyscallSucceedsWithValue(0));
}

TEST_F(CopyTest, CopyFileRangeErrors) {
  const TestFd reader = Open(dir_.File("to"), O_RDONLY), directory = Open(dir_.path(), O_RDONLY);
  const Pipe pipe;
  EXPECT_THAT(copy_file_range(from_.get(), nullptr, reader.get(), nullptr, 1, 0),
              SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(copy_file_range(directory.get(), nullptr, to_.get(), nullptr, 1, 0),
              SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(copy_file_range(pipe.read.get(), nullptr, to_.get(), nullptr, 1, 0),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(copy_file_range(from_.get(), nullptr, to_.get(), nullptr, 1, 1), SyscallFailsWithErrno(EINVAL));
  loff_t in = 0, out = 1;
  const TestFd same = Open(dir_.File("from"), O_RDWR);
  EXPECT_THAT(copy_file_range(from_.get(), &in, same.get(), &out, 5, 0),
              SyscallFailsWithErrno(EINVAL));  // overlap
}

}  // namespace
}  // namespace cloister::tests
