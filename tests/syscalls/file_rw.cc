#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// read(2), write(2), pread(2), readv(2), preadv2(2), lseek(2), truncate(2), fallocate(2), fsync(2) on regular
// files.
namespace cloister::tests {
namespace {

class FileTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const std::string path_ = dir_.WithFile("file", "0123456789");
  const TestFd fd_ = Open(path_, O_RDWR);

  std::string Contents() const { return ReadFile(path_); }
};

iovec Vector(std::string& text) { return {.iov_base = text.data(), .iov_len = text.size()}; }

TEST_F(FileTest, ReadMovesTheOffsetAndStopsAtTheEnd) {
  char buffer[8] = {};
  EXPECT_THAT(read(fd_.get(), buffer, 4), SyscallSucceedsWithValue(4));
  EXPECT_STREQ(buffer, "0123");
  EXPECT_THAT(read(fd_.get(), buffer, 8), SyscallSucceedsWithValue(6));
  EXPECT_THAT(read(fd_.get(), buffer, 8), SyscallSucceedsWithValue(0));
  EXPECT_THAT(lseek(fd_.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(10));
}

TEST_F(FileTest, WriteOverwritesAndExtends) {
  EXPECT_THAT(lseek(fd_.get(), 8, SEEK_SET), SyscallSucceedsWithValue(8));
  EXPECT_THAT(write(fd_.get(), "abcd", 4), SyscallSucceedsWithValue(4));
  EXPECT_EQ(Contents(), "01234567abcd");
}

TEST_F(FileTest, WriteBehindTheEndLeavesZeros) {
  EXPECT_THAT(pwrite(fd_.get(), "x", 1, 12), SyscallSucceedsWithValue(1));
  EXPECT_EQ(Contents(), std::string("0123456789\0\0x", 13));
}

TEST_F(FileTest, PositionedCallsLeaveTheOffset) {
  char buffer[4] = {};
  EXPECT_THAT(pread(fd_.get(), buffer, 3, 7), SyscallSucceedsWithValue(3));
  EXPECT_STREQ(buffer, "789");
  EXPECT_THAT(pread(fd_.get(), buffer, 3, 100), SyscallSucceedsWithValue(0));
  EXPECT_THAT(pwrite(fd_.get(), "ab", 2, 0), SyscallSucceedsWithValue(2));
  EXPECT_THAT(lseek(fd_.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(0));
  EXPECT_EQ(Contents(), "ab23456789");
  EXPECT_THAT(pread(fd_.get(), buffer, 1, -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pwrite(fd_.get(), buffer, 1, -1), SyscallFailsWithErrno(EINVAL));
}

TEST_F(FileTest, AccessModeIsChecked) {
  const TestFd reader = Open(path_, O_RDONLY), writer = Open(path_, O_WRONLY);
  char byte = 0;
  EXPECT_THAT(write(reader.get(), &byte, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(read(writer.get(), &byte, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(pwrite(reader.get(), &byte, 1, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(pread(writer.get(), &byte, 1, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(ftruncate(reader.get(), 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(read(-1, &byte, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(write(1 << 20, &byte, 1), SyscallFailsWithErrno(EBADF));
}

TEST_F(FileTest, BadPointers) {
  EXPECT_THAT(read(fd_.get(), BadPointer(), 4), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(write(fd_.get(), BadPointer(), 4), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(readv(fd_.get(), BadPointer<iovec>(), 1), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(lseek(fd_.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(0));
  EXPECT_THAT(syscall(SYS_read, fd_.get(), ~0ul << 47, 4), SyscallFailsWithErrno(EFAULT));
}

TEST_F(FileTest, WriteFromAPageThatEndsIsShort) {
  const GuardedPage page;
  memcpy(page.end() - 3, "abc", 3);
  const ssize_t put = syscall(SYS_write, fd_.get(), page.end() - 3, 10);
  // Linux may refuse the whole or write what can be read.
  if (put >= 0) {
    EXPECT_EQ(put, 3);
    EXPECT_EQ(Contents(), "abc3456789");
  }
}

TEST_F(FileTest, ZeroBytes) {
  EXPECT_THAT(read(fd_.get(), nullptr, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(write(fd_.get(), "", 0), SyscallSucceedsWithValue(0));
  EXPECT_EQ(Contents(), "0123456789");
}

TEST_F(FileTest, VectorsScatterAndGather) {
  std::string first(3, 0), second, third(20, 0);
  const std::vector<iovec> into = {Vector(first), Vector(second), Vector(third)};
  EXPECT_THAT(readv(fd_.get(), into.data(), 3), SyscallSucceedsWithValue(10));
  EXPECT_EQ(first, "012");
  EXPECT_EQ(third.substr(0, 7), "3456789");
  std::string a = "AB", b = "CDE";
  const std::vector<iovec> from = {Vector(a), Vector(b)};
  EXPECT_THAT(pwritev(fd_.get(), from.data(), 2, 1), SyscallSucceedsWithValue(5));
  EXPECT_EQ(Contents(), "0ABCDE6789");
  EXPECT_THAT(preadv(fd_.get(), from.data(), 2, 8), SyscallSucceedsWithValue(2));
  EXPECT_EQ(a, "89");
}

TEST_F(FileTest, VectorLimits) {
  std::vector<iovec> many(IOV_MAX + 1, iovec{.iov_base = nullptr, .iov_len = 0});
  EXPECT_THAT(readv(fd_.get(), many.data(), IOV_MAX), SyscallSucceedsWithValue(0));
  EXPECT_THAT(readv(fd_.get(), many.data(), IOV_MAX + 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_readv, fd_.get(), many.data(), -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(readv(fd_.get(), many.data(), 0), SyscallSucceedsWithValue(0));
  many[0].iov_len = ~size_t{0};
  EXPECT_THAT(readv(fd_.get(), many.data(), 1), SyscallFailsWithErrno(EINVAL));
}

TEST_F(FileTest, Preadv2TakesTheOffsetOfMinusOne) {
  std::string text(4, 0);
  const iovec into = Vector(text);
  EXPECT_THAT(preadv2(fd_.get(), &into, 1, -1, 0), SyscallSucceedsWithValue(4));
  EXPECT_EQ(text, "0123");
  EXPECT_THAT(preadv2(fd_.get(), &into, 1, 2, 0), SyscallSucceedsWithValue(4));
  EXPECT_EQ(text, "2345");
  EXPECT_THAT(lseek(fd_.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(4));
  EXPECT_THAT(preadv2(fd_.get(), &into, 1, 0, 1 << 30), SyscallFailsWithErrno(EOPNOTSUPP));
}

TEST_F(FileTest, Pwritev2Appends) {
  std::string text = "zz";
  const iovec from = Vector(text);
  EXPECT_THAT(pwritev2(fd_.get(), &from, 1, 0, RWF_APPEND), SyscallSucceedsWithValue(2));
  EXPECT_EQ(Contents(), "0123456789zz");
  EXPECT_THAT(lseek(fd_.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(0));
  EXPECT_THAT(pwritev2(fd_.get(), &from, 1, -1, RWF_APPEND), SyscallSucceedsWithValue(2));
  EXPECT_THAT(lseek(fd_.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(14));
}

TEST_F(FileTest, OffsetsFarOut) {
  constexpr off_t kFar = off_t{1} << 40;
  EXPECT_THAT(pwrite(fd_.get(), "x", 1, kFar), SyscallSucceedsWithValue(1));
  struct stat info;
  ASSERT_THAT(fstat(fd_.get(), &info), SyscallSucceeds());
  EXPECT_EQ(info.st_size, kFar + 1);
  EXPECT_LT(info.st_blocks, 1000);
  char byte = 'y';
  EXPECT_THAT(pread(fd_.get(), &byte, 1, kFar / 2), SyscallSucceedsWithValue(1));
  EXPECT_EQ(byte, 0);
  EXPECT_THAT(pwrite(fd_.get(), "x", 1, INT64_MAX), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(pread(fd_.get(), &byte, 1, INT64_MAX), SyscallFailsWithErrno(EINVAL));
}

TEST_F(FileTest, HowManyBytesAreLeft) {
  EXPECT_THAT(lseek(fd_.get(), 4, SEEK_SET), SyscallSucceedsWithValue(4));
  int left = 0;
  EXPECT_THAT(ioctl(fd_.get(), FIONREAD, &left), SyscallSucceeds());
  EXPECT_EQ(left, 6);
  EXPECT_THAT(ioctl(fd_.get(), FIONREAD, BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(ioctl(fd_.get(), TCGETS, &left), SyscallFailsWithErrno(ENOTTY));
}

TEST_F(FileTest, Seek) {
  EXPECT_THAT(lseek(fd_.get(), -3, SEEK_END), SyscallSucceedsWithValue(7));
  EXPECT_THAT(lseek(fd_.get(), 2, SEEK_CUR), SyscallSucceedsWithValue(9));
  EXPECT_THAT(lseek(fd_.get(), -1, SEEK_SET), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(lseek(fd_.get(), -100, SEEK_CUR), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(lseek(fd_.get(), 0, 77), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(lseek(fd_.get(), 1000, SEEK_SET), SyscallSucceedsWithValue(1000));
  EXPECT_EQ(Contents().size(), 10u);
}

TEST_F(FileTest, SeekDataAndHole) {
  EXPECT_THAT(lseek(fd_.get(), 4, SEEK_DATA), SyscallSucceedsWithValue(4));
  EXPECT_THAT(lseek(fd_.get(), 4, SEEK_HOLE), SyscallSucceedsWithValue(10));
  EXPECT_THAT(lseek(fd_.get(), 10, SEEK_DATA), SyscallFailsWithErrno(ENXIO));
  EXPECT_THAT(lseek(fd_.get(), 11, SEEK_HOLE), SyscallFailsWithErrno(ENXIO));
}

TEST_F(FileTest, AppendIgnoresTheOffset) {
  const TestFd appender = Open(path_, O_WRONLY | O_APPEND);
  EXPECT_THAT(lseek(appender.get(), 0, SEEK_SET), SyscallSucceedsWithValue(0));
  EXPECT_THAT(write(appender.get(), "a", 1), SyscallSucceedsWithValue(1));
  EXPECT_THAT(lseek(appender.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(11));
  EXPECT_THAT(pwrite(appender.get(), "b", 1, 0), SyscallSucceedsWithValue(1));  // pwrite(2), BUGS
  EXPECT_EQ(Contents(), "0123456789ab");
  EXPECT_THAT(lseek(appender.get(), 0, SEEK_CUR), SyscallSucceedsWithValue(11));
}

TEST_F(FileTest, TwoAppendersDoNotLoseLines) {
  const auto append = [this](char letter) {
    const TestFd fd = Open(path_, O_WRONLY | O_APPEND);
    for (int i = 0; i < 200; ++i) CHILD_CHECK(write(fd.get(), std::string(8, letter).data(), 8) == 8);
  };
  Child a([&] { append('a'); });
  Child b([&] { append('b'); });
  EXPECT_THAT(a.Wait(), ExitedWith(0));
  EXPECT_THAT(b.Wait(), ExitedWith(0));
  const std::string all = Contents();
  ASSERT_EQ(all.size(), 10u + 2 * 200 * 8);
  for (size_t at = 10; at < all.size(); at += 8) EXPECT_EQ(all.substr(at, 8), std::string(8, all[at]));
}

TEST_F(FileTest, OffsetIsSharedByDuplicatesAndChildren) {
  const TestFd other(dup(fd_.get()));
  EXPECT_THAT(InChild([&] { CHILD_CHECK(lseek(fd_.get(), 5, SEEK_SET) == 5); }), ExitedWith(0));
  char byte = 0;
  EXPECT_THAT(read(other.get(), &byte, 1), SyscallSucceedsWithValue(1));
  EXPECT_EQ(byte, '5');
}

TEST_F(FileTest, Truncate) {
  EXPECT_THAT(ftruncate(fd_.get(), 3), SyscallSucceeds());
  EXPECT_EQ(Contents(), "012");
  EXPECT_THAT(truncate(path_.c_str(), 5), SyscallSucceeds());
  EXPECT_EQ(Contents(), std::string("012\0\0", 5));
  EXPECT_THAT(ftruncate(fd_.get(), -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(truncate(path_.c_str(), -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(truncate(dir_.path().c_str(), 0), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(truncate(dir_.File("none").c_str(), 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(truncate(BadPointer<char>(), 0), SyscallFailsWithErrno(EFAULT));
}

TEST_F(FileTest, FileSizeLimit) {
  EXPECT_THAT(InChild([this] {
                const rlimit limit = {.rlim_cur = 12, .rlim_max = 12};
                CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
                signal(SIGXFSZ, SIG_IGN);
                CHILD_CHECK(pwrite(fd_.get(), "abcd", 4, 10) == 2);
                CHILD_CHECK(pwrite(fd_.get(), "abcd", 4, 12) == -1 && errno == EFBIG);
                CHILD_CHECK(ftruncate(fd_.get(), 100) == -1 && errno == EFBIG);
                signal(SIGXFSZ, SIG_DFL);
                pwrite(fd_.get(), "abcd", 4, 12);
              }),
              KilledBy(SIGXFSZ));
}

TEST_F(FileTest, Fallocate) {
  EXPECT_THAT(fallocate(fd_.get(), 0, 0, 100), SyscallSucceeds());
  EXPECT_EQ(Contents().size(), 100u);
  EXPECT_THAT(fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, 0, 8192), SyscallSucceeds());
  EXPECT_EQ(Contents().size(), 100u);
  EXPECT_THAT(fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3), SyscallSucceeds());
  EXPECT_EQ(Contents().substr(0, 6), std::string("01\0\0\0005", 6));
  EXPECT_THAT(fallocate(fd_.get(), 0, -1, 10), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fallocate(fd_.get(), 0, 0, 0), SyscallFailsWithErrno(EINVAL));
  const TestFd reader = Open(path_, O_RDONLY);
  EXPECT_THAT(fallocate(reader.get(), 0, 0, 10), SyscallFailsWithErrno(EBADF));
}

TEST_F(FileTest, LargeTransfers) {
  std::string big(3 << 20, 0);
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 31 + i / 4096);
  EXPECT_THAT(pwrite(fd_.get(), big.data(), big.size(), 1), SyscallSucceedsWithValue(ssize_t(big.size())));
  std::string back(big.size(), 0);
  EXPECT_THAT(pread(fd_.get(), back.data(), back.size(), 1), SyscallSucceedsWithValue(ssize_t(big.size())));
  EXPECT_TRUE(big == back);
}

TEST_F(FileTest, Syncs) {
  EXPECT_THAT(fsync(fd_.get()), SyscallSucceeds());
  EXPECT_THAT(fdatasync(fd_.get()), SyscallSucceeds());
  EXPECT_THAT(sync_file_range(fd_.get(), 0, 10, SYNC_FILE_RANGE_WRITE), SyscallSucceeds());
  EXPECT_THAT(fsync(-1), SyscallFailsWithErrno(EBADF));
  const Pipe pipe;
  EXPECT_THAT(fsync(pipe.read.get()), SyscallFailsWithErrno(EINVAL));
}

TEST_F(FileTest, Advice) {
  EXPECT_EQ(posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL), 0);
  EXPECT_EQ(posix_fadvise(fd_.get(), 0, 0, 77), EINVAL);
  const Pipe pipe;
  EXPECT_EQ(posix_fadvise(pipe.read.get(), 0, 0, POSIX_FADV_NORMAL), ESPIPE);
  EXPECT_THAT(readahead(fd_.get(), 0, 4096), SyscallSucceeds());
}

TEST_F(FileTest, DirectoriesCannotBeRead) {
  const TestFd directory = Open(dir_.path(), O_RDONLY);
  char byte;
  EXPECT_THAT(read(directory.get(), &byte, 1), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(write(directory.get(), &byte, 1), SyscallFailsWithErrno(EBADF));
}

}  // namespace
}  // namespace cloister::tests
